// SPDX-License-Identifier: Apache-2.0
#include "core/client/cors.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace huntd::server {
namespace {

RequestHead head_of(Method method, std::initializer_list<HeaderView> headers) {
  RequestHead head;
  head.method = method;
  for (const HeaderView& header : headers) head.headers[head.header_count++] = header;
  return head;
}

constexpr HeaderView game{"Origin", "https://game.example"};
constexpr HeaderView asks_post{"access-control-request-METHOD", "POST"};

TEST_CASE("an origin of the list is allowed, and no other") {
  std::vector<std::string> const list = {"https://shop.example", "https://game.example"};
  CorsOrigins const origins(list);
  CHECK(origins.origin_of(head_of(Method::get, {{"Host", "h"}, game})) == "https://game.example");
  CHECK(origins.origin_of(head_of(Method::get, {})) == "");
  for (std::string_view other :
       {"https://game.example:8443", "http://game.example", "https://game.example.evil", "null",
        "https://game.exampl", "HTTPS://game.example", "*", ""}) {
    CAPTURE(other);
    CHECK(origins.origin_of(head_of(Method::get, {{"Origin", other}})) == "");
  }
  CHECK(origins.origin_of(head_of(Method::get, {game, game})) == "");
}

TEST_CASE("every origin may be allowed, and by default none is") {
  std::vector<std::string> const every = {"*"};
  std::vector<std::string> const none;
  CHECK(CorsOrigins(every).origin_of(head_of(Method::get, {game})) == "*");
  CHECK(CorsOrigins(every).origin_of(head_of(Method::get, {{"Origin", "null"}})) == "*");
  CHECK(CorsOrigins(every).origin_of(head_of(Method::get, {})) == "");
  CHECK(CorsOrigins(none).origin_of(head_of(Method::get, {game})) == "");
  CHECK(CorsOrigins().origin_of(head_of(Method::get, {game})) == "");
}

TEST_CASE("a preflight has the methods of its path") {
  auto const methods = [](Method method, std::string_view path, HeaderView asks) {
    std::optional<Response> const response =
        preflight(head_of(method, {game, asks}), find_route(method, path));
    if (!response) return std::string("none");
    CHECK(response->status == 204);
    return std::string(response->cors_methods);
  };
  constexpr std::string_view hunter = "/v1/hunts/gold/hunters/ada";
  CHECK(methods(Method::options, hunter, asks_post) == "GET, HEAD, POST");
  CHECK(methods(Method::options, "/v1/core-map", asks_post) == "GET, HEAD");
  CHECK(methods(Method::options, "/topics/loot_events", asks_post) == "POST");
  CHECK(methods(Method::options, "/nowhere", asks_post) == "none");
  CHECK(methods(Method::options, "/v1/hunts/../hunters/ada", asks_post) == "none");
  CHECK(methods(Method::options, hunter, {"X", "y"}) == "none");
  CHECK(methods(Method::put, hunter, asks_post) == "none");
  CHECK(methods(Method::post, hunter, asks_post) == "none");
}

}  // namespace
}  // namespace huntd::server
