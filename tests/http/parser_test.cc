// SPDX-License-Identifier: Apache-2.0
#include "http/parser.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "guarded_bytes.h"
#include "http/characters.h"
#include "read_request.h"
#include "request_cases.h"

namespace huntd {
namespace {

using namespace tests;

std::string_view name_of(Method method) {
  switch (method) {
    case Method::get:
      return "GET";
    case Method::head:
      return "HEAD";
    case Method::post:
      return "POST";
    case Method::put:
      return "PUT";
    case Method::patch:
      return "PATCH";
    case Method::del:
      return "DELETE";
    case Method::options:
      return "OPTIONS";
    case Method::trace:
      return "TRACE";
  }
  return "?";
}

// The result in one line: "more", or "STATUS detail", or the request with the properties that
// differ from their defaults.
std::string summary(const ReadRequest& read, size_t size) {
  if (read.status == ParseStatus::need_more) return "more";
  if (read.status == ParseStatus::bad)
    return std::to_string(kind_of(read.problem).status) + " " + read.detail;
  std::string text(name_of(read.method));
  text += " " + read.path;
  if (read.minor_version == 0) text += " 1.0";
  if (!read.keep_alive) text += " close";
  if (read.expect_continue) text += " expect";
  if (read.chunked) text += " chunked";
  if (read.content_length > 0) text += " length=" + std::to_string(read.content_length);
  if (!read.content_type.empty()) text += " type=" + read.content_type;
  if (read.has_idempotency_key) text += " key=" + read.idempotency_key;
  if (!read.trace_context.empty()) text += " trace=" + read.trace_context;
  if (!read.body.empty()) text += " body=" + read.body;
  if (read.consumed < size) text += " rest=" + std::to_string(size - read.consumed);
  return text;
}

void check_every_way(const Case& c, size_t split_step) {
  CAPTURE(c.bytes);
  GuardedBytes guarded(std::max<size_t>(c.bytes.size(), 1));
  auto const place = [&](std::string_view received) { return guarded.place(received); };
  std::vector<size_t> const all = {c.bytes.size()};
  ReadRequest const whole = read_request(c.bytes, all, place);
  CHECK(summary(whole, c.bytes.size()) == c.want);
  for (size_t split = 0; split < c.bytes.size(); split += split_step) {
    ReadRequest const halves = read_request(c.bytes, {split, c.bytes.size()}, place);
    if (halves != whole) {
      CAPTURE(split);
      CHECK(summary(halves, c.bytes.size()) == summary(whole, c.bytes.size()));
      CHECK(halves == whole);
    }
  }
}

// Adds one byte per call: the request is done before the bytes after it have arrived.
void check_byte_by_byte(const Case& c) {
  CAPTURE(c.bytes);
  GuardedBytes guarded(std::max<size_t>(c.bytes.size(), 1));
  std::vector<size_t> each;
  for (size_t i = 0; i <= c.bytes.size(); ++i) each.push_back(i);
  ReadRequest const whole = read_request(c.bytes);
  CHECK(read_request(c.bytes, each,
                     [&](std::string_view received) { return guarded.place(received); }) == whole);
}

template <class Cases>
void check_all(const Cases& cases) {
  for (const Case& c : cases) {
    check_every_way(c, 1);
    check_byte_by_byte(c);
  }
}

TEST_CASE("request lines are accepted or rejected, however the bytes are split") {
  check_all(request_lines);
}
TEST_CASE("targets are accepted or rejected, however the bytes are split") { check_all(targets); }
TEST_CASE("fields are accepted or rejected, however the bytes are split") { check_all(fields); }
TEST_CASE("body framing is accepted or rejected, however the bytes are split") {
  check_all(framings);
}
TEST_CASE("every bound is exact to the byte, however the bytes are split") {
  for (const Case& c : bounds()) check_every_way(c, 37);
}

TEST_CASE("a truncated request is neither done nor bad") {
  for (const Case& c :
       {request_lines[3], targets[7], fields[7], framings[1], framings[40], framings[41]}) {
    ReadRequest const whole = read_request(c.bytes);
    REQUIRE(whole.status == ParseStatus::done);
    for (size_t length = 0; length < whole.consumed; ++length) {
      CAPTURE(c.bytes.substr(0, length));
      CHECK(read_request(std::string_view(c.bytes).substr(0, length)).status ==
            ParseStatus::need_more);
    }
  }
}

TEST_CASE("fields are returned in order, trimmed, with their names as sent") {
  ReadRequest const read = read_request("GET / HTTP/1.1\r\nHost: h\r\naB: \t c d \t\r\nE:\r\n\r\n");
  REQUIRE(read.status == ParseStatus::done);
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  CHECK(read.headers == Pairs{{"Host", "h"}, {"aB", "c d"}, {"E", ""}});
  CHECK(read.target == "/");
}

TEST_CASE("bytes of earlier calls are not scanned again") {
  // A line feed written into the bytes of an earlier call is not noticed; one in the last byte is.
  RequestHead head;
  HeadParser parser;
  std::string bytes(100, 'a');
  CHECK(parser.parse(bytes, head) == ParseStatus::need_more);
  bytes[50] = '\n';
  bytes += "a";
  CHECK(parser.parse(bytes, head) == ParseStatus::need_more);
  bytes += "\n";
  CHECK(parser.parse(bytes, head) == ParseStatus::bad);
}

TEST_CASE("pipelined requests are read one after another") {
  std::string const bytes =
      with("Content-Length: 2") + "ab" + chunked("1\r\nc\r\n0\r\n\r\n") + "\r\n" + with("X: y");
  std::string_view rest = bytes;
  std::string bodies;
  for (int i = 0; i < 3; ++i) {
    ReadRequest const read = read_request(rest);
    REQUIRE(read.status == ParseStatus::done);
    bodies += read.body + "|";
    rest.remove_prefix(read.consumed);
  }
  CHECK(rest.empty());
  CHECK(bodies == "ab|c||");
}

TEST_CASE("a field value may contain exactly the bytes that RFC 9110 allows") {
  for (int c = 0; c < 256; ++c) {
    CAPTURE(c);
    bool const fine = c == '\t' || (c >= 0x20 && c != 0x7f);
    ReadRequest const read =
        read_request(with("X: a" + std::string(1, static_cast<char>(c)) + "b"));
    CHECK((read.status == ParseStatus::done) == fine);
    if (fine) CHECK(read.headers[1].second == "a" + std::string(1, static_cast<char>(c)) + "b");
  }
}

TEST_CASE("a value ends at its first control character, at any position") {
  size_t wrong = 0;
  for (size_t length = 0; length <= 34; ++length)
    for (size_t at = 0; at < length; ++at)
      for (int c = 0; c < 256; ++c) {
        std::string text(length, 'x');
        text[at] = static_cast<char>(c);
        if (length > 9) text[length - 9] = '\t';
        if (length > 9 && at == length - 9) continue;
        wrong += http::value_span(text) != http::span(http::value_bit, text);
      }
  CHECK(wrong == 0);
}

TEST_CASE("a field name may contain exactly the bytes that RFC 9110 allows") {
  std::string const token =
      "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (int c = 0; c < 256; ++c) {
    CAPTURE(c);
    // A colon ends the name.
    bool const fine = c == ':' || token.find(static_cast<char>(c)) != std::string::npos;
    ReadRequest const read =
        read_request(with("a" + std::string(1, static_cast<char>(c)) + "b: y"));
    CHECK((read.status == ParseStatus::done) == fine);
  }
}

}  // namespace
}  // namespace huntd
