// SPDX-License-Identifier: Apache-2.0
// Reads one request with HeadParser and BodyReader, in any number of pieces, and keeps the result.
// Shared by the tests, the differential test and the fuzz target.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/parser.h"

namespace huntd::tests {

struct ReadRequest {
  ParseStatus status = ParseStatus::need_more;
  size_t consumed = 0;  // length of the head and the body
  // bad:
  Problem problem = Problem::malformed_request;
  std::string detail;
  // done:
  Method method = Method::get;
  std::string target;
  std::string path;
  int minor_version = 1;
  bool keep_alive = false;
  bool chunked = false;
  uint64_t content_length = 0;
  bool expect_continue = false;
  std::string content_type;
  bool has_idempotency_key = false;
  std::string idempotency_key;
  std::string trace_context;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  bool operator==(const ReadRequest&) const = default;
};

// The parser gets bytes[0, cuts[0]), then bytes[0, cuts[1]) and so on, as a receive buffer grows.
// `place` is called with each of these views and returns a view with the same content.
// REQUIRES: `cuts` is ascending.
template <class Place>
ReadRequest read_request(std::string_view bytes, const std::vector<size_t>& cuts, Place place) {
  ReadRequest read;
  HeadParser parser;
  RequestHead head;
  std::vector<BodyReader> body;  // none, then one
  for (size_t const cut : cuts) {
    std::string_view const received = place(bytes.substr(0, cut));
    if (body.empty()) {
      read.status = parser.parse(received, head);
      if (read.status == ParseStatus::need_more) continue;
      if (read.status == ParseStatus::bad) {
        read.problem = parser.bad().problem;
        read.detail = parser.bad().detail;
        return read;
      }
      read.method = head.method;
      read.target = head.target;
      read.path = head.path;
      read.minor_version = head.minor_version;
      read.keep_alive = head.keep_alive;
      read.chunked = head.chunked;
      read.content_length = head.content_length;
      read.expect_continue = head.expect_continue;
      read.content_type = head.content_type;
      read.has_idempotency_key = head.has_idempotency_key;
      read.idempotency_key = head.idempotency_key;
      read.trace_context = head.trace_context;
      for (size_t i = 0; i < head.header_count; ++i)
        read.headers.emplace_back(head.headers[i].name, head.headers[i].value);
      read.consumed = parser.consumed();
      body.emplace_back(head);
    }
    read.status = body[0].read(received.substr(read.consumed), read.body);
    if (read.status == ParseStatus::bad) {
      read = ReadRequest();
      read.status = ParseStatus::bad;
      read.problem = body[0].bad().problem;
      read.detail = body[0].bad().detail;
      return read;
    }
    read.consumed += body[0].consumed();
    if (read.status == ParseStatus::done) return read;
  }
  return read;
}

// The same with all bytes at once, in place.
inline ReadRequest read_request(std::string_view bytes) {
  return read_request(bytes, {bytes.size()}, [](std::string_view received) { return received; });
}

}  // namespace huntd::tests
