// SPDX-License-Identifier: Apache-2.0
// Requests per second of CPU time with our parser and with llhttp, on one thread, for the same
// bytes. llhttp has less to do: it notes the position of the target, the fields and the body, and
// does not interpret Host, Idempotency-Key or other fields. Prints the median of three rounds; with
// --json, one object.
#include <llhttp.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "http/parser.h"

namespace {

using huntd::BodyReader;
using huntd::HeadParser;
using huntd::ParseStatus;
using huntd::RequestHead;

constexpr double round_s = 0.4;
constexpr int rounds = 3;

struct Input {
  const char* name;
  std::string bytes;
};

const Input inputs[] = {
    {"get_bare", "GET /v1/core-map HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"},
    {"post_hunt",
     "POST /v1/hunts/riddle/hunters/hunter-000123 HTTP/1.1\r\nHost: "
     "hunts.example.com\r\nUser-Agent: game/4.2\r\n"
     "Content-Type: application/json\r\nIdempotency-Key: "
     "0b7f2c52-55d1-4e0c-9f5e-5ad3a8b0e6a1\r\nAccept: */*\r\n"
     "Content-Length: 31\r\n\r\n{\"answer\":\"a map has no lakes\"}"},
    {"post_chunked",
     "POST /v1/hunts/riddle/hunters/hunter-000123 HTTP/1.1\r\nHost: "
     "hunts.example.com\r\nContent-Type: application/json\r\n"
     "Transfer-Encoding: chunked\r\n\r\n10\r\n{\"answer\":\"a map\r\nf\r\n has no "
     "lakes\"}\r\n0\r\n\r\n"},
    {"get_browser",
     "GET /v1/hunts/riddle/hunters/hunter-000123 HTTP/1.1\r\nHost: "
     "hunts.example.com\r\nConnection: keep-alive\r\n"
     "Cache-Control: max-age=0\r\nsec-ch-ua: \"Chromium\";v=\"130\", "
     "\"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n"
     "sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 "
     "(X11; Linux x86_64) "
     "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\nAccept: "
     "text/html,application/xhtml+xml,"
     "application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: "
     "none\r\nSec-Fetch-Mode: navigate\r\n"
     "Sec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, "
     "br\r\nAccept-Language: en-GB,en;q=0.9\r\n"
     "Cookie: session=8f1c9d7e6b5a43210fedcba987654321; theme=dark; consent=1\r\n\r\n"},
};

// Reads one request. Returns false if it is incomplete.
bool read_ours(std::string_view bytes, std::string& body) {
  static RequestHead head;
  HeadParser parser;
  if (parser.parse(bytes, head) != ParseStatus::done) return false;
  body.clear();
  BodyReader reader(head);
  return reader.read(bytes.substr(parser.consumed()), body) == ParseStatus::done;
}

struct Spans {
  std::string_view target;
  std::array<std::pair<std::string_view, std::string_view>, huntd::limits::request_headers_max>
      fields;
  size_t field_count = 0;
  std::string* body = nullptr;
  bool done = false;
};

llhttp_settings_t make_settings() {
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  auto const spans = [](llhttp_t* parser) { return static_cast<Spans*>(parser->data); };
  static auto const spans_of = spans;
  settings.on_url = [](llhttp_t* parser, const char* at, size_t length) {
    spans_of(parser)->target = {at, length};
    return 0;
  };
  settings.on_header_field = [](llhttp_t* parser, const char* at, size_t length) {
    Spans* const into = spans_of(parser);
    if (into->field_count == into->fields.size()) return -1;
    into->fields[into->field_count].first = {at, length};
    return 0;
  };
  settings.on_header_value = [](llhttp_t* parser, const char* at, size_t length) {
    Spans* const into = spans_of(parser);
    into->fields[into->field_count++].second = {at, length};
    return 0;
  };
  settings.on_body = [](llhttp_t* parser, const char* at, size_t length) {
    spans_of(parser)->body->append(at, length);
    return 0;
  };
  settings.on_message_complete = [](llhttp_t* parser) {
    spans_of(parser)->done = true;
    return 0;
  };
  return settings;
}

bool read_theirs(std::string_view bytes, std::string& body) {
  static const llhttp_settings_t settings = make_settings();
  static Spans spans;
  spans.field_count = 0;
  spans.done = false;
  spans.body = &body;
  body.clear();
  llhttp_t parser;
  llhttp_init(&parser, HTTP_REQUEST, &settings);
  parser.data = &spans;
  return llhttp_execute(&parser, bytes.data(), bytes.size()) == HPE_OK && spans.done;
}

// CPU time: other programs on the host must not count.
double cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

double requests_per_s(bool (*read)(std::string_view, std::string&), const std::string& bytes) {
  std::string body;
  uint64_t count = 0;
  double const begin_s = cpu_s();
  double passed_s = 0;
  while (passed_s < round_s) {
    for (int i = 0; i < 1000; ++i)
      if (!read(bytes, body)) {
        std::fprintf(stderr, "a request of the benchmark cannot be parsed\n");
        std::exit(1);
      }
    count += 1000;
    passed_s = cpu_s() - begin_s;
  }
  return static_cast<double>(count) / passed_s;
}

}  // namespace

int main(int argc, char** argv) {
  bool const json = argc == 2 && std::strcmp(argv[1], "--json") == 0;
  if (argc > 2 || (argc == 2 && !json)) {
    std::fprintf(stderr, "usage: http_parser [--json]\n");
    return 2;
  }
  if (json)
    std::printf(R"({"bench":"http_parser","figures":[)");
  else
    std::printf("%-14s %10s %16s %16s %8s\n", "request", "bytes", "ours (1/s)", "llhttp (1/s)",
                "ratio");
  bool first = true;
  for (const Input& input : inputs) {
    std::array<double, rounds> ours{};
    std::array<double, rounds> theirs{};
    for (size_t i = 0; i < rounds; ++i) {  // alternating, so that noise affects both alike
      ours[i] = requests_per_s(read_ours, input.bytes);
      theirs[i] = requests_per_s(read_theirs, input.bytes);
    }
    std::sort(ours.begin(), ours.end());
    std::sort(theirs.begin(), theirs.end());
    double const ratio = ours[rounds / 2] / theirs[rounds / 2];
    if (json) {
      std::printf(R"(%s{"name":"%s_ours","value":%.0f,"unit":"1/s","bar":null,"ok":true},)",
                  first ? "" : ",", input.name, ours[rounds / 2]);
      std::printf(R"({"name":"%s_llhttp","value":%.0f,"unit":"1/s","bar":null,"ok":true},)",
                  input.name, theirs[rounds / 2]);
      std::printf(R"({"name":"%s_ratio","value":%.2f,"unit":"x","bar":1,"ok":%s})", input.name,
                  ratio, ratio >= 1 ? "true" : "false");
    } else {
      std::printf("%-14s %10zu %16.0f %16.0f %8.2f\n", input.name, input.bytes.size(),
                  ours[rounds / 2], theirs[rounds / 2], ratio);
    }
    first = false;
  }
  if (json) std::printf("]}\n");
  return 0;
}
