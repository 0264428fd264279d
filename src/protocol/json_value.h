// Bodies that clients send: JSON text, checked by simdjson, written as a value for the worker
// (protocol/value.h).
#pragma once
#include <string_view>

#include "base/pool.h"
#include "base/result.h"

namespace huntd {

// The value's bytes. The error is a sentence for the client: invalid JSON, invalid UTF-8, more than
// limits::json_depth_max deep. Where an object names a key twice, the last one counts, as in
// JavaScript.
Result<Text> encode_json_value(std::string_view json);

// True where `json` is one valid JSON text, no deeper than the limit (an empty array or object may
// lie one deeper): for what a worker says its result is.
bool is_json(std::string_view json);

}  // namespace huntd
