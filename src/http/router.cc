#include "http/router.h"

#include "base/ids.h"

namespace huntd {
namespace {

Route refuse(Problem problem, const char* detail, std::string_view allow = {}) {
  Route route;
  route.problem = problem;
  route.detail = detail;
  route.allow = allow;
  return route;
}

// What lies behind /topics/ as in the Kafka REST proxy; only its produce call is here.
Route find_topic(Method method, std::string_view topic) {
  Route route;
  if (topic.empty() || topic.find('/') != std::string_view::npos) {
    route = refuse(Problem::no_such_route, "of the topics' paths only POST /topics/TOPIC is here");
  } else if (method != Method::post) {
    route = refuse(Problem::method_not_allowed, "records are produced with POST", "POST");
  } else {
    route.to = Route::To::produce;
    route.topic = topic;
  }
  route.rest = true;
  return route;
}

}  // namespace

Route find_route(Method method, std::string_view path) {
  bool const reads = method == Method::get || method == Method::head;
  if (path == "/v1/core-map") {
    if (!reads)
      return refuse(Problem::method_not_allowed, "the core map is read with GET", "GET, HEAD");
    Route route;
    route.to = Route::To::core_map;
    return route;
  }
  constexpr std::string_view topics = "/topics/";
  if (path.starts_with(topics)) return find_topic(method, path.substr(topics.size()));
  constexpr std::string_view hunts = "/v1/hunts/";
  constexpr std::string_view hunters = "/hunters/";
  if (!path.starts_with(hunts)) return refuse(Problem::no_such_route, "");
  path.remove_prefix(hunts.size());
  size_t const slash = path.find('/');
  if (slash == std::string_view::npos || !path.substr(slash).starts_with(hunters))
    return refuse(Problem::no_such_route, "");
  Route route;
  route.hunt_id = path.substr(0, slash);
  route.hunter_id = path.substr(slash + hunters.size());
  if (route.hunter_id.find('/') != std::string_view::npos)
    return refuse(Problem::no_such_route, "");
  if (!is_id(route.hunt_id))
    return refuse(Problem::malformed_request, "a hunt_id is 1 to 64 of A-Z a-z 0-9 _ . -");
  if (!is_id(route.hunter_id))
    return refuse(Problem::malformed_request, "a hunter_id is 1 to 64 of A-Z a-z 0-9 _ . -");
  if (method == Method::post) {
    route.to = Route::To::run_hunt;
  } else if (reads) {
    route.to = Route::To::read_held;
  } else {
    return refuse(Problem::method_not_allowed,
                  "a hunt is run with POST, what a hunter holds is read with GET",
                  "GET, HEAD, POST");
  }
  return route;
}

}  // namespace huntd
