#include "protocol/body_parser.h"

#include "base/check.h"
#include "base/limits.h"

namespace huntd {

simdjson::dom::parser& body_parser() {
  static simdjson::dom::parser instance = [] {
    simdjson::dom::parser made;
    CHECK(made.allocate(limits::request_body_bytes_max + 64, limits::json_depth_max + 1) ==
          simdjson::SUCCESS);
    return made;
  }();
  return instance;
}

}  // namespace huntd
