// SPDX-License-Identifier: Apache-2.0
// Request bodies: JSON text, validated by simdjson and encoded as a value for the worker
// (wire/value.h).
#pragma once
#include <cstdint>
#include <string_view>

#include "base/pool.h"
#include "base/result.h"

namespace huntd {

// Returns the value's bytes. The error is one sentence for the client: invalid JSON, invalid UTF-8,
// or nested deeper than limits::json_depth_max. If an object has a name twice, both are written,
// and the last one counts, as in JavaScript.
Result<PoolString> encode_json_value(std::string_view json);

// A hash of what a script can see of a value that encode_json_value() wrote: an object's names in
// any order, the last value of a name that occurs twice, and 0 and -0 as one number.
uint64_t hash_value(std::string_view value);

// Returns whether `json` is one valid JSON text that is not nested deeper than the limit (an empty
// array or object may be one level deeper). Checks the result that a worker sends.
bool is_json(std::string_view json);

// What is stored of the table of hunt.state(), written as `json`: a table without a key is removed,
// so nothing is.
inline std::string_view stored_state(std::string_view json) {
  return json == "{}" || json == "[]" ? std::string_view() : json;
}

}  // namespace huntd
