// HTTP/1.1 requests, bytes to views (RFC 9112), strict: what two parsers could read in two ways is
// refused. No I/O and no allocation; the caller owns the bytes.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "http/problem.h"

namespace huntd {

enum class Method { get, head, post, put, patch, del, options, trace };

struct HeaderView {
  std::string_view name;
  std::string_view value;  // without the white space around it
};

// What a request's line and headers say. Views into the caller's bytes.
struct RequestFacts {
  Method method = Method::get;
  std::string_view target;  // as sent
  std::string_view path;    // the target's path: no scheme, no authority, no query
  int minor_version = 1;
  bool keep_alive = true;       // after this request, as far as the client is concerned
  bool chunked = false;         // Transfer-Encoding: chunked
  uint64_t content_length = 0;  // 0 where there is no body
  bool expect_continue = false;
  std::string_view content_type;
  std::string_view authorization;
  std::string_view idempotency_key;
  bool has_idempotency_key = false;
  size_t header_count = 0;
};

// The same with every header; headers[header_count] and what follows is left over from earlier
// requests, so that a head can be used again without clearing it.
struct RequestHead : RequestFacts {
  std::array<HeaderView, limits::request_headers_max> headers;
};

enum class ParseStatus { done, need_more, bad };

// What is wrong with a request. The connection can't go on after it: where the next request begins
// is not known.
struct BadRequest {
  Problem problem = Problem::malformed_request;
  const char* detail = "";
};

// Reads one request head. `bytes` begins with the request and grows from call to call while
// need_more comes back; only what is new is scanned. After done, consumed() bytes belong to the
// head. A fresh one for each request.
class HeadParser {
 public:
  ParseStatus parse(std::string_view bytes, RequestHead& head);
  size_t consumed() const { return consumed_; }
  const BadRequest& bad() const { return bad_; }

 private:
  ParseStatus refuse(Problem problem, const char* detail);
  ParseStatus parse_request_line(std::string_view line, RequestHead& head);
  ParseStatus parse_field(std::string_view& rest, RequestHead& head);
  ParseStatus note_field(std::string_view name, std::string_view value, bool tab,
                         RequestHead& head);
  ParseStatus finish(RequestHead& head);

  size_t scanned_ = 0;
  size_t consumed_ = 0;
  BadRequest bad_;
  // What the fields said, until all are read.
  std::string_view host_;
  std::string_view authority_;  // of an absolute-form target
  bool has_authority_ = false;
  bool has_host_ = false;
  bool has_length_ = false;
  bool has_coding_ = false;
  bool has_expect_ = false;
  bool says_close_ = false;
  bool says_keep_alive_ = false;
  bool has_content_type_ = false;
  bool has_authorization_ = false;
};

// Reads one request body, after its head.
class BodyReader {
 public:
  explicit BodyReader(const RequestHead& head);
  // Takes what it can from the front of `bytes` and appends the body's own to `body` (empty at the
  // first call). done: consumed() of this call's bytes were the body's, the rest is the next
  // request.
  ParseStatus read(std::string_view bytes, std::string& body);
  size_t consumed() const { return consumed_; }
  const BadRequest& bad() const { return bad_; }

 private:
  enum class State {
    fixed,
    size,
    extension_name_start,
    extension_name,
    extension_value_start,
    extension_value,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer,
    trailer_lf,
    end_lf,
    done
  };
  ParseStatus refuse(Problem problem, const char* detail);
  ParseStatus step(char c);
  ParseStatus step_extension(char c);
  ParseStatus step_trailer(char c);

  State state_;
  uint64_t remaining_ = 0;  // of the body or of the chunk
  uint32_t size_digits_ = 0;
  size_t extension_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  bool trailer_has_colon_ = false;
  std::array<char, 20> trailer_name_{};  // its front, in lower case
  size_t trailer_name_bytes_ = 0;
  size_t consumed_ = 0;
  BadRequest bad_;
};

}  // namespace huntd
