// SPDX-License-Identifier: Apache-2.0
#include "wire/body_parser.h"

#include "base/check.h"
#include "base/limits.h"

namespace huntd {

simdjson::simdjson_result<simdjson::dom::element> parse_body(std::string_view json) {
  static simdjson::dom::parser instance = [] {
    simdjson::dom::parser parser;
    CHECK(parser.allocate(limits::request_body_bytes_max + 64, limits::json_depth_max + 1) ==
          simdjson::SUCCESS);
    return parser;
  }();
  // The parser would call memcpy() with the null pointer of an empty view.
  if (json.empty()) return simdjson::EMPTY;
  return instance.parse(json.data(), json.size());
}

}  // namespace huntd
