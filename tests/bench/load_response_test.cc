// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "response.h"

using namespace huntd::load;

namespace {

std::string answer_text(int status, std::string_view body, std::string_view fields = "") {
  return "HTTP/1.1 " + std::to_string(status) +
         " Word\r\nServer: huntd\r\ncontent-LENGTH: " + std::to_string(body.size()) + "\r\n" +
         std::string(fields) + "\r\n" + std::string(body);
}

const std::string loot =
    R"({"loot":[{"loot_id":"a","event_id":"1"},{"loot_id":"b","event_id":"2"}],"note":"event_id"})";

struct Found {
  std::vector<Response> responses;
  std::string bad;  // why reading stopped; empty if it did not
};

// Feeds the pieces one after another, as they would come from a socket.
Found read_all(const std::vector<std::string_view>& pieces) {
  Found found;
  ResponseReader reader;
  for (std::string_view piece : pieces)
    while (!piece.empty()) {
      auto const status = reader.read(piece);
      if (status == ResponseReader::Status::done) found.responses.push_back(reader.response());
      if (status == ResponseReader::Status::bad) {
        found.bad = reader.bad();
        return found;
      }
    }
  return found;
}

std::string why_bad(std::string_view text) { return read_all({text}).bad; }

}  // namespace

TEST_CASE("a response has its status, keep-alive and number of events") {
  auto const found = read_all({answer_text(200, loot)});
  REQUIRE(found.responses.size() == 1);
  CHECK(found.responses[0].status == 200);
  CHECK(found.responses[0].keep_alive);
  CHECK(found.responses[0].events == 3);
  CHECK_FALSE(read_all({answer_text(503, "", "Connection: Close\r\n")}).responses.at(0).keep_alive);
}

TEST_CASE("a response split at any two bytes reads the same") {
  std::string const text = answer_text(200, loot);
  std::string_view const view = text;
  for (size_t first = 0; first <= view.size(); ++first)
    for (size_t second = first; second <= view.size(); ++second) {
      auto const found = read_all(
          {view.substr(0, first), view.substr(first, second - first), view.substr(second)});
      REQUIRE(found.responses.size() == 1);
      REQUIRE(found.responses[0].status == 200);
      REQUIRE(found.responses[0].events == 3);
    }
}

TEST_CASE("a response that comes byte by byte reads the same") {
  std::string const text = answer_text(200, loot) + answer_text(422, "{}");
  std::vector<std::string_view> pieces;
  for (size_t i = 0; i < text.size(); ++i) pieces.push_back(std::string_view(text).substr(i, 1));
  auto const found = read_all(pieces);
  REQUIRE(found.responses.size() == 2);
  CHECK(found.responses[0].events == 3);
  CHECK(found.responses[1].status == 422);
}

TEST_CASE("pipelined responses are read one by one, for any split") {
  std::string const text = answer_text(200, loot) + answer_text(503, "{\"event_id\":1}") +
                           answer_text(204, "") + answer_text(200, "\"event_id\"");
  std::string_view const view = text;
  for (size_t at = 0; at <= view.size(); ++at) {
    auto const found = read_all({view.substr(0, at), view.substr(at)});
    REQUIRE(found.responses.size() == 4);
    REQUIRE(found.responses[0].events == 3);
    REQUIRE(found.responses[1].status == 503);
    REQUIRE(found.responses[1].events == 0);  // no loot was given
    REQUIRE(found.responses[2].status == 204);
    REQUIRE(found.responses[3].events == 1);
  }
}

TEST_CASE("an interim response is skipped") {
  auto const found = read_all({"HTTP/1.1 100 Continue\r\n\r\n" + answer_text(200, "{}")});
  REQUIRE(found.responses.size() == 1);
  CHECK(found.responses[0].status == 200);
}

TEST_CASE("an HTTP/1.0 connection stays open only with keep-alive") {
  CHECK_FALSE(
      read_all({"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"}).responses.at(0).keep_alive);
  CHECK(read_all({"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"})
            .responses.at(0)
            .keep_alive);
}

TEST_CASE("a response whose end is unknown is rejected") {
  CHECK(why_bad("HTTP/1.1 200 OK\r\nServer: x\r\n\r\n") == "no Content-Length");
  CHECK(why_bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") ==
        "Transfer-Encoding: only Content-Length is supported");
  CHECK(why_bad("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n") ==
        "Content-Length twice");
  for (const char* length : {"", "-1", "+1", "1 2", "0x1", "99999999999999999999", "2000000000"})
    CHECK(why_bad("HTTP/1.1 200 OK\r\nContent-Length: " + std::string(length) + "\r\n\r\n") ==
          "an invalid Content-Length");
}

TEST_CASE("bytes that are not an HTTP response are rejected") {
  CHECK(why_bad("SSH-2.0-OpenSSH_9.2\r\n") == "no status line");
  CHECK(why_bad("HTTP/1.1 20\r\n\r\n") == "no status line");
  CHECK(why_bad("HTTP/1.1 999 No\r\n\r\n") == "no status line");
  CHECK(why_bad("HTTP/1.1 200 OK\nContent-Length: 0\n\n") == "a line without CRLF");
  CHECK(why_bad("HTTP/1.1 200 OK\r\nno colon\r\n\r\n") == "a field without a name");
  CHECK(why_bad("HTTP/1.1 200 OK\r\nX: " + std::string(response_head_bytes_max, 'x')) ==
        "the head is too long");
}

TEST_CASE("clear() removes all state of the old connection") {
  ResponseReader reader;
  std::string_view half = "HTTP/1.1 200 OK\r\nContent-Le";
  CHECK(reader.read(half) == ResponseReader::Status::need_more);
  reader.clear();
  std::string const text = answer_text(200, "{}");
  std::string_view whole = text;
  CHECK(reader.read(whole) == ResponseReader::Status::done);
}
