#include "protocol/body_parser.h"

#include "base/check.h"
#include "base/limits.h"

namespace huntd {

simdjson::simdjson_result<simdjson::dom::element> parse_body(std::string_view json) {
  static simdjson::dom::parser instance = [] {
    simdjson::dom::parser made;
    CHECK(made.allocate(limits::request_body_bytes_max + 64, limits::json_depth_max + 1) ==
          simdjson::SUCCESS);
    return made;
  }();
  // An empty view may point nowhere, from where the parser would copy no bytes all the same.
  if (json.empty()) return simdjson::EMPTY;
  return instance.parse(json.data(), json.size());
}

}  // namespace huntd
