// SPDX-License-Identifier: Apache-2.0
// Compares our parser with llhttp: llhttp accepts every request that ours accepts, with the same
// fields and the same length. The converse does not hold: docs/decisions/0001-own-http-parser.md
// lists what llhttp accepts and ours rejects.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <regex>

#include "llhttp_reader.h"
#include "read_request.h"
#include "request_cases.h"

namespace huntd {
namespace {

using namespace tests;

struct MethodPair {
  Method ours;
  const char* theirs;
};
const MethodPair methods[] = {{Method::get, "GET"},         {Method::post, "POST"},
                              {Method::head, "HEAD"},       {Method::put, "PUT"},
                              {Method::patch, "PATCH"},     {Method::del, "DELETE"},
                              {Method::options, "OPTIONS"}, {Method::trace, "TRACE"}};

// llhttp 8.1.0 rejects an extension after another that has a value, ";a=b;c"; RFC 9112
// section 7.1.1 allows it.
bool is_rejected_extension(std::string_view bytes, const LlhttpRequest& theirs) {
  static const std::regex after_value(";[^\r\n]*=[^\r\n]*;");
  return theirs.reason == "Invalid character in chunk size" &&
         std::regex_search(bytes.begin(), bytes.end(), after_value);
}

// How the two results differ; "" if they agree as far as they must.
std::string difference(std::string_view bytes, const ReadRequest& ours,
                       const LlhttpRequest& theirs) {
  using Status = LlhttpRequest::Status;
  // Ours must not wait for more if llhttp has a complete request.
  if (ours.status == ParseStatus::need_more)
    return theirs.status == Status::done ? "only llhttp is done" : "";
  if (ours.status == ParseStatus::bad) return "";
  if (theirs.status == Status::bad && is_rejected_extension(bytes, theirs)) return "";
  if (theirs.status == Status::bad) return "llhttp rejects: " + theirs.reason;
  if (theirs.status == Status::need_more) return "llhttp wants more";
  auto const* const method =
      std::find_if(std::begin(methods), std::end(methods),
                   [&](const MethodPair& pair) { return pair.ours == ours.method; });
  if (theirs.method != method->theirs) return "another method: " + theirs.method;
  if (theirs.target != ours.target) return "another target: " + theirs.target;
  if (theirs.minor_version != ours.minor_version) return "another version";
  if (theirs.headers != ours.headers) return "other headers";
  if (theirs.body != ours.body) return "another body: " + theirs.body;
  if (theirs.consumed != ours.consumed) return "another length: " + std::to_string(theirs.consumed);
  // If an HTTP/1.0 client sends both keep-alive and close, ours closes.
  bool const closes = !ours.keep_alive && ours.minor_version == 0;
  if (theirs.keep_alive != ours.keep_alive && !closes) return "another keep-alive";
  return "";
}

std::vector<std::string> corpus() {
  std::vector<std::string> all;
  for (const Case& c : request_lines) all.push_back(c.bytes);
  for (const Case& c : targets) all.push_back(c.bytes);
  for (const Case& c : fields) all.push_back(c.bytes);
  for (const Case& c : framings) all.push_back(c.bytes);
  return all;
}

TEST_CASE("llhttp agrees with every request of the table that ours accepts") {
  size_t read = 0;
  for (const std::string& bytes : corpus()) {
    CAPTURE(bytes);
    ReadRequest const ours = read_request(bytes);
    read += ours.status == ParseStatus::done;
    CHECK(difference(bytes, ours, read_with_llhttp(bytes)) == "");
  }
  for (const Case& c : bounds())
    CHECK(difference(c.bytes, read_request(c.bytes), read_with_llhttp(c.bytes)) == "");
  CHECK(read >= 60);
}

// What the mutations insert.
// clang-format off
const std::string pieces[] = {
    "\r", "\n", "\r\n", "\r\n\r\n", " ", "\t", ":", ",", ";", "=", "\"", "\\",
    "0", "1", "a", "F", "%", "/", "?", "*", "[", "]", "@", "-",
    "\xff", std::string(1, '\0'), "\x0b", "\x7f",
    "Content-Length: 3\r\n", "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n",
    "Connection: close\r\n", "Connection: keep-alive\r\n",
    "Connection: upgrade\r\nUpgrade: x\r\n", "Host: h\r\n",
    "Expect: 100-continue\r\n", "X: y\r\n", ";a=b", ";a=\"b\"", "3\r\nabc\r\n", "0\r\n\r\n",
    "HTTP/1.0", "HTTP/1.1", "http://h", "GET ", "POST ", "chunked", "close"};
// clang-format on

// Changes requests the way that attackers and broken clients do.
class Mutator {
 public:
  Mutator(uint32_t seed, std::vector<std::string> corpus)
      : random_(seed), corpus_(std::move(corpus)) {}

  std::string next() {
    std::string bytes = corpus_[below(corpus_.size())];
    size_t const edits = 1 + below(3);
    for (size_t i = 0; i < edits; ++i) edit(bytes);
    return bytes;
  }

 private:
  size_t below(size_t bound) {
    return std::uniform_int_distribution<size_t>(0, bound - 1)(random_);
  }

  void edit(std::string& bytes) {
    size_t const at = below(bytes.size() + 1);
    switch (below(6)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(below(256));
        break;
      case 1:
        bytes.insert(at, pieces[below(std::size(pieces))]);
        break;
      case 2:
        bytes.erase(at, 1 + below(4));
        break;
      case 3:  // repeat a line or a part of it
        bytes.insert(at, bytes.substr(at, 1 + below(24)));
        break;
      case 4: {  // insert a piece at the start of a line
        size_t const line = bytes.find("\r\n", at);
        if (line != std::string::npos) bytes.insert(line + 2, pieces[below(std::size(pieces))]);
        break;
      }
      default: {  // join the front of one request and the back of another
        const std::string& other = corpus_[below(corpus_.size())];
        bytes = bytes.substr(0, at) + other.substr(std::min(other.size(), below(other.size() + 1)));
        break;
      }
    }
  }

  std::mt19937 random_;
  std::vector<std::string> corpus_;
};

TEST_CASE("llhttp agrees with every mutated request that ours accepts") {
  const char* const wanted = std::getenv("HUNTD_MUTATIONS");
  size_t const count = wanted != nullptr ? std::strtoul(wanted, nullptr, 10) : 200'000;
  Mutator mutator(20261124, corpus());
  size_t read = 0;
  size_t only_llhttp = 0;
  std::map<std::string, std::pair<size_t, std::string>> laxer;
  for (size_t i = 0; i < count; ++i) {
    std::string const bytes = mutator.next();
    ReadRequest const ours = read_request(bytes);
    LlhttpRequest const theirs = read_with_llhttp(bytes);
    std::string const found = difference(bytes, ours, theirs);
    if (!found.empty()) {
      CAPTURE(i);
      CAPTURE(bytes);
      CHECK(found == "");
    }
    read += ours.status == ParseStatus::done;
    if (ours.status == ParseStatus::bad && theirs.status == LlhttpRequest::Status::done) {
      ++only_llhttp;
      auto& [times, example] = laxer[ours.detail];
      if (times++ == 0 || bytes.size() < example.size()) example = bytes;
    }
  }
  std::printf("%zu mutated requests: %zu accepted by both, %zu accepted only by llhttp %d.%d.%d\n",
              count, read, only_llhttp, LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR,
              LLHTTP_VERSION_PATCH);
  if (std::getenv("HUNTD_LIST") != nullptr)
    for (const auto& [detail, times] : laxer) {
      std::printf("%7zu  %s: ", times.first, detail.c_str());
      for (char c : times.second)
        if (c >= 0x20 && c < 0x7f)
          std::putchar(c);
        else
          std::printf("\\x%02x", static_cast<unsigned char>(c));
      std::putchar('\n');
    }
  CHECK(read > count / 25);
}

}  // namespace
}  // namespace huntd
