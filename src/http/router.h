// Which thing a method and a path mean. Pure; views into the caller's path. A query is passed over.
#pragma once
#include <string_view>

#include "http/parser.h"

namespace huntd {

struct Route {
  enum class To { run_hunt, read_held, core_map, produce, refused };
  To to = To::refused;
  bool rest = false;  // a path of the Kafka REST proxy: it is refused in the proxy's format
  std::string_view hunt_id;
  std::string_view hunter_id;
  std::string_view topic;  // produce
  // refused:
  Problem problem = Problem::no_such_route;
  const char* detail = "";
  std::string_view allow;  // with method_not_allowed
};

Route find_route(Method method, std::string_view path);

}  // namespace huntd
