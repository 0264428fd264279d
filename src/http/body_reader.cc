// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/check.h"
#include "http/characters.h"
#include "http/parser.h"

namespace huntd {

using namespace http;

namespace {

constexpr uint32_t size_digits_max = 8;

// The value of a hexadecimal digit, or -1.
int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Fields that frame or route a message must not come after it (RFC 9110 section 6.5.1).
bool is_forbidden_trailer(std::string_view name) {
  for (std::string_view forbidden :
       {"content-length", "transfer-encoding", "connection", "host", "upgrade"})
    if (name == forbidden) return true;
  return false;
}

}  // namespace

BodyReader::BodyReader(const RequestHead& head)
    : state_(head.chunked ? State::size : (head.content_length > 0 ? State::fixed : State::done)),
      remaining_(head.chunked ? 0 : head.content_length) {}

ParseStatus BodyReader::fail(Problem problem, const char* detail) {
  bad_ = {problem, detail};
  return ParseStatus::bad;
}

ParseStatus BodyReader::read(std::string_view bytes, std::string& body) {
  consumed_ = 0;
  while (state_ != State::done) {
    if (consumed_ == bytes.size()) return ParseStatus::need_more;
    if (state_ == State::fixed || state_ == State::data) {
      size_t const take =
          static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size() - consumed_));
      body.append(bytes.substr(consumed_, take));
      consumed_ += take;
      remaining_ -= take;
      if (remaining_ == 0) state_ = state_ == State::fixed ? State::done : State::data_cr;
      continue;
    }
    char const c = bytes[consumed_];
    if (step(c) == ParseStatus::bad) return ParseStatus::bad;
    ++consumed_;
    if (state_ == State::data && body.size() + remaining_ > limits::request_body_bytes_max)
      return fail(Problem::body_too_large, "the body has more than 16384 bytes");
  }
  return ParseStatus::done;
}

// Reads one byte of the chunked framing (RFC 9112 section 7.1).
ParseStatus BodyReader::step(char c) {
  switch (state_) {
    case State::size:
      return step_size(c);
    case State::extension_name_start:
    case State::extension_name:
    case State::extension_value_start:
    case State::extension_value:
      return step_extension(c);
    case State::size_lf:
      size_digits_ = 0;
      return expect(c, '\n', remaining_ > 0 ? State::data : State::trailer_start,
                    "a chunk size line does not end in CR LF");
    case State::data_cr:
      return expect(c, '\r', State::data_lf, "a chunk is not followed by CR LF");
    case State::data_lf:
      return expect(c, '\n', State::size, "a chunk is not followed by CR LF");
    case State::trailer_start:
      return step_trailer_start(c);
    case State::trailer:
      return step_trailer(c);
    case State::trailer_lf:
      return expect(c, '\n', State::trailer_start, "a trailer does not end in CR LF");
    case State::end_lf:
      return expect(c, '\n', State::done, "the body does not end in CR LF");
    case State::fixed:
    case State::data:
    case State::done:
      break;
  }
  CHECK(false);
  return ParseStatus::bad;
}

ParseStatus BodyReader::expect(char c, char wanted, State next, const char* detail) {
  if (c != wanted) return fail(Problem::malformed_request, detail);
  state_ = next;
  return ParseStatus::done;
}

// Reads one byte of a chunk size or the byte after it.
ParseStatus BodyReader::step_size(char c) {
  if (int const digit = hex_value(c); digit >= 0) {
    if (++size_digits_ > size_digits_max)
      return fail(Problem::malformed_request, "a chunk size has more than 8 digits");
    remaining_ = remaining_ * 16 + static_cast<uint64_t>(digit);
    return ParseStatus::done;
  }
  if (size_digits_ == 0 || (c != '\r' && c != ';'))
    return fail(Problem::malformed_request, "a chunk size is not a hexadecimal number");
  state_ = c == '\r' ? State::size_lf : State::extension_name_start;
  extension_bytes_ = 0;
  return ParseStatus::done;
}

// Reads one byte of a chunk's extensions, ;NAME or ;NAME=TOKEN, which are ignored (RFC 9112
// section 7.1.1). A quoted value is rejected because parsers differ on where it ends.
ParseStatus BodyReader::step_extension(char c) {
  if (++extension_bytes_ > limits::chunk_extension_bytes_max)
    return fail(Problem::malformed_request, "a chunk extension has more than 256 bytes");
  if (is(token_bit, c)) {
    if (state_ == State::extension_name_start) state_ = State::extension_name;
    if (state_ == State::extension_value_start) state_ = State::extension_value;
    return ParseStatus::done;
  }
  bool const complete = state_ == State::extension_name || state_ == State::extension_value;
  if (complete && c == '\r')
    state_ = State::size_lf;
  else if (complete && c == ';')
    state_ = State::extension_name_start;
  else if (c == '=' && state_ == State::extension_name)
    state_ = State::extension_value_start;
  else
    return fail(Problem::malformed_request, "a chunk extension is not ;NAME or ;NAME=TOKEN");
  return ParseStatus::done;
}

// Reads the first byte of a trailer or of the empty line that ends the body.
ParseStatus BodyReader::step_trailer_start(char c) {
  if (c == '\r') {
    state_ = State::end_lf;
    return ParseStatus::done;
  }
  state_ = State::trailer;
  trailer_has_colon_ = false;
  trailer_name_bytes_ = 0;
  return step_trailer(c);
}

// Reads one byte of a trailer, which is checked and ignored.
ParseStatus BodyReader::step_trailer(char c) {
  if (++trailer_bytes_ > limits::request_head_bytes_max)
    return fail(Problem::head_too_large, "the trailers have more than 8192 bytes");
  if (trailer_has_colon_) {
    if (c == '\r')
      state_ = State::trailer_lf;
    else if (!is(value_bit, c))
      return fail(Problem::malformed_request, "a trailer is malformed");
    return ParseStatus::done;
  }
  if (c == ':' && trailer_name_bytes_ > 0) {
    trailer_has_colon_ = true;
    std::string_view const name(trailer_name_.data(),
                                std::min(trailer_name_bytes_, trailer_name_.size()));
    if (is_forbidden_trailer(name))
      return fail(Problem::malformed_request, "a trailer must not frame or route the request");
    return ParseStatus::done;
  }
  if (!is(token_bit, c)) return fail(Problem::malformed_request, "a trailer is malformed");
  if (trailer_name_bytes_ < trailer_name_.size()) trailer_name_[trailer_name_bytes_] = lower(c);
  ++trailer_name_bytes_;
  return ParseStatus::done;
}

}  // namespace huntd
