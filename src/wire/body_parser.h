// SPDX-License-Identifier: Apache-2.0
// The JSON parser for request bodies. In a header of its own, so that json_value.h does not include
// simdjson.
#pragma once
#include <simdjson.h>

#include <string_view>

namespace huntd {

// Parses and validates a whole body with the one parser of the process, which has room for the
// largest body. The document is valid until the next call. The parser counts the document as one
// level of depth, and does not count empty arrays and objects.
simdjson::simdjson_result<simdjson::dom::element> parse_body(std::string_view json);

}  // namespace huntd
