// SPDX-License-Identifier: Apache-2.0
// Responses and problems, byte for byte.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include "base/json_text.h"
#include "http/problem.h"
#include "http/response.h"

namespace huntd {
namespace {

constexpr std::string_view date = "Tue, 24 Nov 2026 03:15:00 GMT";
constexpr std::string_view request_id = "0123456789abcdef0123456789abcdef";

std::string wire(const Response& response, Framing framing = {}) {
  std::string out;
  append_response(out, response, framing, date, request_id);
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

TEST_CASE("a response is its status line, its headers and its body") {
  Response response;
  response.body = "{}";
  CHECK(wire(response) ==
        "HTTP/1.1 200 OK\r\nServer: huntd\r\nDate: Tue, 24 Nov 2026 03:15:00 GMT\r\n"
        "Content-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: 2\r\n"
        "X-Request-Id: 0123456789abcdef0123456789abcdef\r\n\r\n"
        "{}");
}

TEST_CASE("optional headers are sent if they are set") {
  Response response;
  response.status = 503;
  response.bundle = "abc";
  response.retry_after_s = 7;
  response.allow = "GET, HEAD";
  CHECK(
      wire(response, {.keep_alive = false}) ==
      "HTTP/1.1 503 Service Unavailable\r\nServer: huntd\r\nDate: Tue, 24 Nov 2026 03:15:00 GMT\r\n"
      "Content-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: 0\r\n"
      "X-Request-Id: 0123456789abcdef0123456789abcdef\r\n"
      "Hunt-Bundle: abc\r\nRetry-After: 7\r\n"
      "Allow: GET, HEAD\r\nConnection: close\r\n\r\n");
}

TEST_CASE("a response that another origin may read says so") {
  Response response;
  response.body = "{}";
  std::string const one = wire(response, {.cors_origin = "https://game.example"});
  CHECK(one.ends_with(
      "Access-Control-Allow-Origin: https://game.example\r\nVary: Origin\r\n"
      "Access-Control-Expose-Headers: X-Request-Id, Hunt-Bundle, Retry-After\r\n\r\n{}"));
  CHECK(wire(response, {.cors_origin = "*"}).find("Vary") == std::string::npos);
  CHECK(wire(response).find("Access-Control") == std::string::npos);
}

TEST_CASE("a preflight's response has no length and lists what may be sent") {
  Response response;
  response.status = 204;
  response.cors_methods = "GET, HEAD";
  CHECK(
      wire(response, {.cors_origin = "*"}) ==
      "HTTP/1.1 204 No Content\r\nServer: huntd\r\nDate: Tue, 24 Nov 2026 03:15:00 GMT\r\n"
      "Cache-Control: no-store\r\nX-Request-Id: 0123456789abcdef0123456789abcdef\r\n"
      "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET, HEAD\r\n"
      "Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, traceparent\r\n"
      "Access-Control-Max-Age: 7200\r\n\r\n");
}

TEST_CASE("a response to HEAD has the length of the body and no body") {
  Response response;
  response.body = "12345";
  std::string const head = wire(response, {.head_only = true});
  CHECK(head.find("Content-Length: 5\r\n") != std::string::npos);
  CHECK(head.ends_with("\r\n\r\n"));
}

TEST_CASE("without Keep-Alive, HTTP/1.0 clients get Connection, HTTP/1.1 only if it closes") {
  Response const response;
  CHECK(wire(response, {.keep_alive = true, .http_1_0 = true}).find("Connection: keep-alive\r\n") !=
        std::string::npos);
  CHECK(wire(response, {.keep_alive = false, .http_1_0 = true}).find("Connection: close\r\n") !=
        std::string::npos);
  CHECK(wire(response).find("Connection") == std::string::npos);
}

TEST_CASE("a connection that stays open may have a Keep-Alive, which Connection names") {
  Response const response;
  for (bool const http_1_0 : {false, true})
    CHECK(wire(response, {.http_1_0 = http_1_0, .idle_s = 70})
              .ends_with("\r\nConnection: keep-alive\r\nKeep-Alive: timeout=70\r\n\r\n"));
  std::string const last = wire(response, {.keep_alive = false, .idle_s = 70});
  CHECK(last.ends_with("\r\nConnection: close\r\n\r\n"));
  CHECK(last.find("Keep-Alive") == std::string::npos);
}

TEST_CASE("a client is promised some seconds less than the idle deadline") {
  CHECK(idle_promise_s(0) == 0);
  CHECK(idle_promise_s(1'999) == 0);
  CHECK(idle_promise_s(2'000) == 1);
  CHECK(idle_promise_s(3'000) == 2);
  CHECK(idle_promise_s(10'000) == 8);
  CHECK(idle_promise_s(75'000) == 70);
  CHECK(idle_promise_s(3'600'000) == 3'595);
}

TEST_CASE("responses are appended, so that pipelined responses leave together") {
  Response response;
  response.body = "a";
  std::string out = "before";
  append_response(out, response, {}, date, request_id);
  CHECK(out == "before" + wire(response));
}

TEST_CASE("the date is an IMF-fixdate of the wall clock's second") {
  DateText text;
  CHECK(text.at(0) == "Thu, 01 Jan 1970 00:00:00 GMT");
  CHECK(text.at(784'111'777'999) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(text.at(784'111'778'000) == "Sun, 06 Nov 1994 08:49:38 GMT");
  CHECK(text.at(0) == "Thu, 01 Jan 1970 00:00:00 GMT");  // the clock was set back
}

TEST_CASE("a problem is an RFC 9457 object with its detail as JSON text") {
  Response const response = problem_response(Problem::rejected, "no \"key\"\n\xff");
  CHECK(response.status == 422);
  CHECK(response.content_type == "application/problem+json");
  CHECK(response.retry_after_s == 0);
  CHECK(response.body ==
        R"({"type":"urn:huntd:problem:rejected","title":"Rejected by the hunt's script",)"
        "\"status\":422,\"detail\":\"no \\\"key\\\"\\n\xef\xbf\xbd\"}");
  CHECK(problem_response(Problem::no_such_route, "").body.find("detail") == std::string::npos);
}

TEST_CASE("a problem may name the request, for a repeat with it as the key") {
  Response const response =
      problem_response(Problem::outcome_unknown_unkeyed, "repeat", "0123456789abcdef");
  CHECK(response.status == 424);
  CHECK(response.retry_after_s == 0);
  CHECK(response.body.starts_with(R"({"type":"urn:huntd:problem:outcome-unknown",)"));
  CHECK(response.body.ends_with(R"("detail":"repeat","request_id":"0123456789abcdef"})"));
  CHECK(problem_response(Problem::outcome_unknown, "").status == 503);
}

TEST_CASE("every problem has a reason phrase, and every 503 has Retry-After") {
  std::set<std::pair<std::string_view, int>> kinds;
  for (const ProblemKind& kind : problem_kinds()) {
    CAPTURE(kind.slug);
    CHECK(&kind_of(kind.problem) == &kind);
    CHECK(kinds.insert({kind.slug, kind.status}).second);
    CHECK_FALSE(reason_phrase(kind.status).empty());
    CHECK_FALSE(kind.title.empty());
    CHECK((problem_response(kind.problem, "").retry_after_s > 0) == (kind.status == 503));
  }
}

TEST_CASE("docs/http-api.md and docs/openapi.yaml list exactly the problems, with status") {
  std::set<std::string> documented;
  std::istringstream lines(text_of("docs/http-api.md"));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| `")) continue;
    size_t const end = line.find("` | ");
    std::string const slug = line.substr(3, end - 3);
    std::string const status = line.substr(end + 4, 3);
    if (status.find_first_not_of("0123456789") == std::string::npos)
      documented.insert(slug + " " + status);
  }
  std::string const openapi = text_of("docs/openapi.yaml");
  std::set<std::string> types;
  for (const ProblemKind& kind : problem_kinds()) {
    std::string const slug(kind.slug);
    CAPTURE(slug);
    types.insert(slug);
    CHECK(documented.erase(slug + " " + std::to_string(kind.status)) == 1);
    CHECK(openapi.find("- urn:huntd:problem:" + slug + "\n") != std::string::npos);
  }
  CHECK(documented.empty());
  size_t in_openapi = 0;
  for (size_t at = 0; (at = openapi.find("- urn:huntd:problem:", at)) != std::string::npos; ++at)
    ++in_openapi;
  CHECK(in_openapi == types.size());
}

TEST_CASE("JSON text escapes what JSON requires and replaces invalid UTF-8 by U+FFFD") {
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

}  // namespace
}  // namespace huntd
