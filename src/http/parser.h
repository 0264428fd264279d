// SPDX-License-Identifier: Apache-2.0
// A strict parser for HTTP/1.1 requests (RFC 9112). Rejects every request that two parsers could
// read differently. The head's text is returned as views of the caller's bytes. No I/O; allocates
// nothing but the body.
#pragma once
#include <array>
#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "http/problem.h"

namespace huntd {

enum class Method { get, head, post, put, patch, del, options, trace };

// The name as in a request line, such as "GET"; static text.
std::string_view method_name(Method method);

struct HeaderView {
  std::string_view name;
  std::string_view value;  // without the white space around it
};

// The parts of a request line and of the headers that huntd uses. Views of the caller's bytes.
struct RequestFacts {
  Method method = Method::get;
  std::string_view target;  // as sent
  std::string_view path;    // of the target: without scheme, authority and query
  int minor_version = 1;
  bool keep_alive = true;       // the client allows another request on this connection
  bool chunked = false;         // Transfer-Encoding: chunked
  uint64_t content_length = 0;  // 0 if there is no body or its length is not declared
  bool expect_continue = false;
  std::string_view content_type;
  std::string_view authorization;
  std::string_view idempotency_key;
  bool has_idempotency_key = false;
  std::string_view trace_context;  // of traceparent; empty: none, or it is not valid
  size_t header_count = 0;
};

// The facts and all headers. Only the first header_count elements of `headers` belong to this
// request; later ones may be left from another, so that a head can be reused without clearing it.
struct RequestHead : RequestFacts {
  std::array<HeaderView, limits::request_headers_max> headers;
};

enum class ParseStatus { done, need_more, bad };

// Why a request was rejected. The connection must be closed: it is unknown where the next request
// starts.
struct BadRequest {
  Problem problem = Problem::malformed_request;
  const char* detail = "";
};

// Parses one request head; use a new parser for each request.
class HeadParser {
 public:
  // `bytes` starts with the request. While the result is need_more, call again with the same bytes
  // and more after them; bytes of earlier calls are not scanned again. On done, `head` is complete
  // and views `bytes`. On bad, `head` has the facts that were read before the error.
  ParseStatus parse(std::string_view bytes, RequestHead& head);
  // After done: the length of the head.
  size_t consumed() const { return consumed_; }
  // After bad: the reason.
  const BadRequest& bad() const { return bad_; }

 private:
  struct KnownField;
  struct KnownFields;
  enum class Field : uint8_t {
    host,
    expect,
    connection,
    content_type,
    authorization,
    traceparent,
    content_length,
    idempotency_key,
    transfer_encoding,
    count_,
  };

  ParseStatus fail(Problem problem, const char* detail);
  ParseStatus find_end(std::string_view bytes, size_t start, size_t& end);
  ParseStatus parse_request_line(std::string_view line, RequestHead& head);
  ParseStatus parse_version(std::string_view version, RequestHead& head);
  ParseStatus parse_target(RequestHead& head);
  ParseStatus parse_field(std::string_view& rest, RequestHead& head);
  ParseStatus note_field(std::string_view name, std::string_view value, bool tab,
                         RequestHead& head);
  ParseStatus take_host(std::string_view value, RequestHead& head);
  ParseStatus take_expect(std::string_view value, RequestHead& head);
  ParseStatus take_connection(std::string_view value, RequestHead& head);
  ParseStatus take_content_type(std::string_view value, RequestHead& head);
  ParseStatus take_authorization(std::string_view value, RequestHead& head);
  ParseStatus take_traceparent(std::string_view value, RequestHead& head);
  ParseStatus take_content_length(std::string_view value, RequestHead& head);
  ParseStatus take_idempotency_key(std::string_view value, RequestHead& head);
  ParseStatus take_transfer_encoding(std::string_view value, RequestHead& head);
  ParseStatus finish(RequestHead& head);
  bool seen(Field field) const { return seen_[static_cast<size_t>(field)]; }

  size_t scanned_ = 0;
  size_t consumed_ = 0;
  BadRequest bad_;
  std::bitset<static_cast<size_t>(Field::count_)> seen_;
  bool wants_close_ = false;  // options of Connection
  bool wants_keep_alive_ = false;
  bool has_traceparent_ = false;
};

// Reads the body that follows one request head.
class BodyReader {
 public:
  explicit BodyReader(const RequestHead& head);
  // Reads from the front of `bytes` and appends the content to `body`, which must be empty at the
  // first call and is at most limits::request_body_bytes_max long. Afterwards, consumed() bytes of
  // `bytes` belong to this body; the next call must start behind them. After done, the rest belongs
  // to the next request.
  ParseStatus read(std::string_view bytes, std::string& body);
  size_t consumed() const { return consumed_; }
  // After bad: the reason.
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
  ParseStatus fail(Problem problem, const char* detail);
  ParseStatus step(char c);
  ParseStatus expect(char c, char wanted, State next, const char* detail);
  ParseStatus step_size(char c);
  ParseStatus step_extension(char c);
  ParseStatus step_trailer_start(char c);
  ParseStatus step_trailer(char c);

  State state_;
  uint64_t remaining_ = 0;  // bytes of the body or of the current chunk
  uint32_t size_digits_ = 0;
  size_t extension_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  bool trailer_has_colon_ = false;
  std::array<char, 20> trailer_name_{};  // its first bytes, in lower case
  size_t trailer_name_bytes_ = 0;
  size_t consumed_ = 0;
  BadRequest bad_;
};

}  // namespace huntd
