// SPDX-License-Identifier: Apache-2.0
#include "core/client/router.h"

#include <doctest/doctest.h>

#include <string>

namespace huntd::server {
namespace {

TEST_CASE("each method and path has one route or a problem") {
  using To = Route::To;
  struct Case {
    Method method;
    std::string path;
    To to;
    Problem problem = Problem::no_such_route;
    std::string_view allow = "";
  };
  std::string const id64(64, 'a');
  constexpr std::string_view of_hunter = "GET, HEAD, POST";
  Case const cases[] = {
      {Method::post, "/v1/hunts/a/hunters/b", To::run_hunt},
      {Method::get, "/v1/hunts/a/hunters/b", To::read_held},
      {Method::head, "/v1/hunts/a/hunters/b", To::read_held},
      {Method::post, "/v1/hunts/A.z_0-9/hunters/" + id64, To::run_hunt},
      {Method::post, "/v1/hunts/.../hunters/..a", To::run_hunt},
      {Method::post, "/v1/hunts/a/hunters/..", To::rejected, Problem::malformed_request},
      {Method::get, "/v1/hunts/a/hunters/.", To::rejected, Problem::malformed_request},
      {Method::post, "/v1/hunts/../hunters/b", To::rejected, Problem::malformed_request},
      {Method::get, "/v1/core-map", To::core_map},
      {Method::head, "/v1/core-map", To::core_map},
      {Method::post, "/v1/core-map", To::rejected, Problem::method_not_allowed, "GET, HEAD"},
      {Method::put, "/v1/hunts/a/hunters/b", To::rejected, Problem::method_not_allowed, of_hunter},
      {Method::del, "/v1/hunts/a/hunters/b", To::rejected, Problem::method_not_allowed, of_hunter},
      {Method::options, "/v1/hunts/a/hunters/b", To::rejected, Problem::method_not_allowed,
       of_hunter},
      {Method::post, "/v1/hunts/a/hunters/" + id64 + "a", To::rejected, Problem::malformed_request},
      {Method::post, "/v1/hunts//hunters/b", To::rejected, Problem::malformed_request},
      {Method::post, "/v1/hunts/a/hunters/", To::rejected, Problem::malformed_request},
      {Method::post, "/v1/hunts/a:b/hunters/b", To::rejected, Problem::malformed_request},
      {Method::post, "/v1/hunts/a/hunters/%41", To::rejected, Problem::malformed_request},
      {Method::get, "/", To::rejected},
      {Method::get, "*", To::rejected},
      {Method::get, "", To::rejected},
      {Method::get, "/v1/core-map/", To::rejected},
      {Method::get, "/v1/hunts", To::rejected},
      {Method::get, "/v1/hunts/a", To::rejected},
      {Method::get, "/v1/hunts/a/hunters", To::rejected},
      {Method::get, "/v1/hunts/a/hunters/b/", To::rejected},
      {Method::get, "/v1/hunts/a/hunters/b/c", To::rejected},
      {Method::get, "/v1//hunts/a/hunters/b", To::rejected},
      {Method::get, "/V1/core-map", To::rejected},
      {Method::post, "/topics/loot_events", To::produce},
      {Method::get, "/topics/loot_events", To::rejected, Problem::method_not_allowed, "POST"},
      {Method::put, "/topics/loot_events", To::rejected, Problem::method_not_allowed, "POST"},
      {Method::post, "/topics/", To::rejected},
      {Method::post, "/topics", To::rejected},
      {Method::post, "/topics/a/partitions/0", To::rejected},
      {Method::get, "/metrics", To::rejected},
      {Method::get, "/healthz", To::rejected},
  };
  for (const Case& c : cases) {
    CAPTURE(c.path);
    CAPTURE(static_cast<int>(c.method));
    Route const route = find_route(c.method, c.path);
    CHECK(route.to == c.to);
    CHECK(route.kafka_rest == c.path.starts_with("/topics/"));
    if (c.to == To::produce) {
      CHECK(c.path == "/topics/" + std::string(route.topic));
    } else if (c.to == To::rejected) {
      CHECK(route.problem == c.problem);
      CHECK(route.allow == c.allow);
    } else if (c.to != To::core_map) {
      CHECK(c.path ==
            "/v1/hunts/" + std::string(route.hunt_id) + "/hunters/" + std::string(route.hunter_id));
    }
  }
}

}  // namespace
}  // namespace huntd::server
