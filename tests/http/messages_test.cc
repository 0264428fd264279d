// Answers, problems and routes: what leaves for the client, byte for byte, and what a path means.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "base/json_text.h"
#include "http/problem.h"
#include "http/response.h"
#include "http/router.h"

namespace huntd {
namespace {

constexpr std::string_view date = "Tue, 24 Nov 2026 03:15:00 GMT";

std::string wire(const Response& response, Framing framing = {}) {
  std::string out;
  append_response(out, response, framing, date);
  return out;
}

std::string text_of(const std::string& path) {
  const char* root = std::getenv("HUNTD_SOURCE_ROOT");
  REQUIRE(root != nullptr);
  std::ifstream file(std::string(root) + "/" + path);
  REQUIRE(file.is_open());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST_CASE("an answer is its status line, its headers and its body") {
  Response response;
  response.body = "{}";
  CHECK(wire(response) ==
        "HTTP/1.1 200 OK\r\nServer: huntd\r\nDate: Tue, 24 Nov 2026 03:15:00 GMT\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
}

TEST_CASE("the headers that only some answers have come when they are set") {
  Response response;
  response.status = 503;
  response.bundle = "abc";
  response.retry_after_s = 7;
  response.allow = "GET, HEAD";
  CHECK(
      wire(response, {.keep_alive = false}) ==
      "HTTP/1.1 503 Service Unavailable\r\nServer: huntd\r\nDate: Tue, 24 Nov 2026 03:15:00 GMT\r\n"
      "Content-Type: application/json\r\nContent-Length: 0\r\nHunt-Bundle: abc\r\nRetry-After: "
      "7\r\n"
      "Allow: GET, HEAD\r\nConnection: close\r\n\r\n");
}

TEST_CASE("HEAD has the length of the body and no body") {
  Response response;
  response.body = "12345";
  std::string const head = wire(response, {.head_only = true});
  CHECK(head.find("Content-Length: 5\r\n") != std::string::npos);
  CHECK(head.ends_with("\r\n\r\n"));
}

TEST_CASE("a 1.0 client is told whether the connection stays, a 1.1 client only when it does not") {
  Response const response;
  CHECK(wire(response, {.keep_alive = true, .http_1_0 = true}).find("Connection: keep-alive\r\n") !=
        std::string::npos);
  CHECK(wire(response, {.keep_alive = false, .http_1_0 = true}).find("Connection: close\r\n") !=
        std::string::npos);
  CHECK(wire(response).find("Connection") == std::string::npos);
}

TEST_CASE("answers are appended, so that pipelined ones leave together") {
  Response response;
  response.body = "a";
  std::string out = "before";
  append_response(out, response, {}, date);
  CHECK(out == "before" + wire(response));
}

TEST_CASE("the date is an IMF-fixdate of the wall clock's second") {
  DateText text;
  CHECK(text.at(0) == "Thu, 01 Jan 1970 00:00:00 GMT");
  CHECK(text.at(784'111'777'999) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(text.at(784'111'778'000) == "Sun, 06 Nov 1994 08:49:38 GMT");
  CHECK(text.at(0) == "Thu, 01 Jan 1970 00:00:00 GMT");  // a clock that is set back
}

TEST_CASE("a problem is RFC 9457 with its detail as JSON text") {
  Response const response = problem_response(Problem::rejected, "no \"key\"\n\xff");
  CHECK(response.status == 422);
  CHECK(response.content_type == "application/problem+json");
  CHECK(response.retry_after_s == 0);
  CHECK(response.body ==
        R"({"type":"urn:huntd:problem:rejected","title":"The hunt said no","status":422,)"
        "\"detail\":\"no \\\"key\\\"\\n\xef\xbf\xbd\"}");
  CHECK(problem_response(Problem::no_such_route, "").body.find("detail") == std::string::npos);
}

// Every problem, in the enum's order.
std::vector<Problem> all_problems() {
  std::vector<Problem> all;
  for (int i = 0; i <= static_cast<int>(Problem::version_not_supported); ++i)
    all.push_back(static_cast<Problem>(i));
  return all;
}

TEST_CASE(
    "every problem has a status with a reason phrase, and those of 503 say when to try again") {
  std::set<std::string_view> slugs;
  for (Problem const problem : all_problems()) {
    const ProblemKind& kind = kind_of(problem);
    CAPTURE(kind.slug);
    CHECK(slugs.insert(kind.slug).second);
    CHECK_FALSE(reason_phrase(kind.status).empty());
    CHECK_FALSE(kind.title.empty());
    CHECK((problem_response(problem, "").retry_after_s > 0) == (kind.status == 503));
  }
}

TEST_CASE(
    "docs/http-api.md and docs/openapi.yaml name every problem with its status, and no other") {
  std::map<std::string, std::string> documented;
  std::istringstream lines(text_of("docs/http-api.md"));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| `")) continue;
    size_t const end = line.find("` | ");
    std::string const slug = line.substr(3, end - 3);
    std::string const status = line.substr(end + 4, 3);
    if (status.find_first_not_of("0123456789") == std::string::npos) documented[slug] = status;
  }
  std::string const openapi = text_of("docs/openapi.yaml");
  for (Problem const problem : all_problems()) {
    const ProblemKind& kind = kind_of(problem);
    std::string const slug(kind.slug);
    CAPTURE(slug);
    CHECK(documented[slug] == std::to_string(kind.status));
    documented.erase(slug);
    CHECK(openapi.find("- urn:huntd:problem:" + slug + "\n") != std::string::npos);
  }
  CHECK(documented.empty());
  size_t in_openapi = 0;
  for (size_t at = 0; (at = openapi.find("- urn:huntd:problem:", at)) != std::string::npos; ++at)
    ++in_openapi;
  CHECK(in_openapi == all_problems().size());
}

TEST_CASE("JSON text escapes what JSON must, and what is not UTF-8 becomes U+FFFD") {
  struct Case {
    std::string text;
    std::string json;
  };
  using namespace std::string_literals;
  const std::string bad = "\xef\xbf\xbd";
  Case const cases[] = {
      {"", "\"\""},
      {"a/b", "\"a/b\""},
      {"\"\\", "\"\\\"\\\\\""},
      {"\n\r\t", "\"\\n\\r\\t\""},
      {"\0\x01\x1f"s, "\"\\u0000\\u0001\\u001f\""},
      {"\x7f", "\"\x7f\""},
      {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x97\x9d", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x97\x9d\""},
      {"\xc3", "\"" + bad + "\""},
      {"\xc3(", "\"" + bad + "(\""},
      {"\xc0\x80", "\"" + bad + bad + "\""},
      {"\xe0\x80\x80", "\"" + bad + bad + bad + "\""},
      {"\xed\xa0\x80", "\"" + bad + bad + bad + "\""},
      {"\xf4\x90\x80\x80", "\"" + bad + bad + bad + bad + "\""},
      {"\xe2\x82", "\"" + bad + bad + "\""},
      {"\xff", "\"" + bad + "\""},
  };
  for (const Case& c : cases) {
    std::string json;
    append_json_string(json, c.text);
    CHECK(json == c.json);
  }
}

TEST_CASE("a method and a path mean one thing, or a problem") {
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
      {Method::post, "/v1/hunts/./hunters/..", To::run_hunt},
      {Method::get, "/v1/core-map", To::core_map},
      {Method::head, "/v1/core-map", To::core_map},
      {Method::post, "/v1/core-map", To::refused, Problem::method_not_allowed, "GET, HEAD"},
      {Method::put, "/v1/hunts/a/hunters/b", To::refused, Problem::method_not_allowed, of_hunter},
      {Method::del, "/v1/hunts/a/hunters/b", To::refused, Problem::method_not_allowed, of_hunter},
      {Method::options, "/v1/hunts/a/hunters/b", To::refused, Problem::method_not_allowed,
       of_hunter},
      {Method::post, "/v1/hunts/a/hunters/" + id64 + "a", To::refused, Problem::malformed_request},
      {Method::post, "/v1/hunts//hunters/b", To::refused, Problem::malformed_request},
      {Method::post, "/v1/hunts/a/hunters/", To::refused, Problem::malformed_request},
      {Method::post, "/v1/hunts/a:b/hunters/b", To::refused, Problem::malformed_request},
      {Method::post, "/v1/hunts/a/hunters/%41", To::refused, Problem::malformed_request},
      {Method::get, "/", To::refused},
      {Method::get, "*", To::refused},
      {Method::get, "", To::refused},
      {Method::get, "/v1/core-map/", To::refused},
      {Method::get, "/v1/hunts", To::refused},
      {Method::get, "/v1/hunts/a", To::refused},
      {Method::get, "/v1/hunts/a/hunters", To::refused},
      {Method::get, "/v1/hunts/a/hunters/b/", To::refused},
      {Method::get, "/v1/hunts/a/hunters/b/c", To::refused},
      {Method::get, "/v1//hunts/a/hunters/b", To::refused},
      {Method::get, "/V1/core-map", To::refused},
      {Method::post, "/topics/loot_events", To::produce},
      {Method::get, "/topics/loot_events", To::refused, Problem::method_not_allowed, "POST"},
      {Method::put, "/topics/loot_events", To::refused, Problem::method_not_allowed, "POST"},
      {Method::post, "/topics/", To::refused},
      {Method::post, "/topics", To::refused},
      {Method::post, "/topics/a/partitions/0", To::refused},
      {Method::get, "/metrics", To::refused},
      {Method::get, "/healthz", To::refused},
  };
  for (const Case& c : cases) {
    CAPTURE(c.path);
    CAPTURE(static_cast<int>(c.method));
    Route const route = find_route(c.method, c.path);
    CHECK(route.to == c.to);
    CHECK(route.rest == c.path.starts_with("/topics/"));
    if (c.to == To::produce) {
      CHECK(c.path == "/topics/" + std::string(route.topic));
    } else if (c.to == To::refused) {
      CHECK(route.problem == c.problem);
      CHECK(route.allow == c.allow);
    } else if (c.to != To::core_map) {
      CHECK(c.path ==
            "/v1/hunts/" + std::string(route.hunt_id) + "/hunters/" + std::string(route.hunter_id));
    }
  }
}

}  // namespace
}  // namespace huntd
