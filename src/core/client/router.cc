// SPDX-License-Identifier: Apache-2.0
#include "core/client/router.h"

#include "base/ids.h"

namespace huntd::server {
namespace {

Route reject(Problem problem, const char* detail, std::string_view allow = {}) {
  Route route;
  route.problem = problem;
  route.detail = detail;
  route.allow = allow;
  return route;
}

// Paths under /topics/. Of the Kafka REST proxy's calls, only produce is supported.
Route find_topic(Method method, std::string_view topic) {
  Route route;
  if (topic.empty() || topic.find('/') != std::string_view::npos) {
    route = reject(Problem::no_such_route, "the only path under /topics/ is /topics/TOPIC");
  } else if (method != Method::post) {
    route = reject(Problem::method_not_allowed, "produce records with POST", "POST");
  } else {
    route.to = Route::To::produce;
    route.topic = topic;
  }
  route.kafka_rest = true;
  return route;
}

}  // namespace

Route find_route(Method method, std::string_view path) {
  bool const reads = method == Method::get || method == Method::head;
  if (path == "/v1/core-map") {
    if (!reads)
      return reject(Problem::method_not_allowed, "read the core map with GET", "GET, HEAD");
    Route route;
    route.to = Route::To::core_map;
    return route;
  }
  constexpr std::string_view topics = "/topics/";
  if (path.starts_with(topics)) return find_topic(method, path.substr(topics.size()));
  constexpr std::string_view hunts = "/v1/hunts/";
  constexpr std::string_view hunters = "/hunters/";
  if (!path.starts_with(hunts)) return reject(Problem::no_such_route, "");
  path.remove_prefix(hunts.size());
  size_t const slash = path.find('/');
  if (slash == std::string_view::npos || !path.substr(slash).starts_with(hunters))
    return reject(Problem::no_such_route, "");
  Route route;
  route.hunt_id = path.substr(0, slash);
  route.hunter_id = path.substr(slash + hunters.size());
  if (route.hunter_id.find('/') != std::string_view::npos)
    return reject(Problem::no_such_route, "");
  if (!is_path_id(route.hunt_id))
    return reject(Problem::malformed_request,
                  "a hunt_id must be 1 to 64 characters of A-Z a-z 0-9 _ . -, not . or ..");
  if (!is_path_id(route.hunter_id))
    return reject(Problem::malformed_request,
                  "a hunter_id must be 1 to 64 characters of A-Z a-z 0-9 _ . -, not . or ..");
  if (method == Method::post) {
    route.to = Route::To::run_hunt;
  } else if (reads) {
    route.to = Route::To::read_held;
  } else {
    return reject(Problem::method_not_allowed,
                  "run a hunt with POST, read a hunter's loot with GET", "GET, HEAD, POST");
  }
  return route;
}

}  // namespace huntd::server
