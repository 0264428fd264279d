// SPDX-License-Identifier: Apache-2.0
// Maps the method and path of a request to a route. Pure. A query is ignored.
#pragma once
#include <string_view>

#include "http/parser.h"

namespace huntd::server {

// The views point into the caller's path.
struct Route {
  enum class To { run_hunt, read_held, core_map, produce, rejected };
  To to = To::rejected;
  bool kafka_rest = false;     // a path of the Kafka REST proxy, whose errors have another format
  std::string_view hunt_id;    // run_hunt, read_held
  std::string_view hunter_id;  // run_hunt, read_held
  std::string_view topic;      // produce
  // rejected:
  Problem problem = Problem::no_such_route;
  const char* detail = "";
  std::string_view allow;  // with method_not_allowed: the path's methods
};

Route find_route(Method method, std::string_view path);

}  // namespace huntd::server
