#include <algorithm>

#include "base/check.h"
#include "http/characters.h"
#include "http/parser.h"

namespace huntd {

using namespace http;

BodyReader::BodyReader(const RequestHead& head)
    : state_(head.chunked ? State::size : (head.content_length > 0 ? State::fixed : State::done)),
      remaining_(head.chunked ? 0 : head.content_length) {}

ParseStatus BodyReader::refuse(Problem problem, const char* detail) {
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
      return refuse(Problem::body_too_large, "a body may have 16384 bytes");
  }
  return ParseStatus::done;
}

// One byte of the chunked framing (RFC 9112 section 7.1).
ParseStatus BodyReader::step(char c) {
  switch (state_) {
    case State::size: {
      int const digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit >= 0) {
        if (++size_digits_ > 8)
          return refuse(Problem::malformed_request, "a chunk's size has more than 8 digits");
        remaining_ = remaining_ * 16 + static_cast<uint64_t>(digit);
        return ParseStatus::done;
      }
      if (size_digits_ == 0)
        return refuse(Problem::malformed_request, "a chunk's size is not a hexadecimal number");
      if (c == '\r') {
        state_ = State::size_lf;
      } else if (c == ';') {
        state_ = State::extension_name_start;
        extension_bytes_ = 0;
      } else {
        return refuse(Problem::malformed_request, "a chunk's size is not a hexadecimal number");
      }
      return ParseStatus::done;
    }
    case State::extension_name_start:
    case State::extension_name:
    case State::extension_value_start:
    case State::extension_value:
      return step_extension(c);
    case State::size_lf:
      if (c != '\n')
        return refuse(Problem::malformed_request, "a chunk's size line does not end in CR LF");
      state_ = remaining_ > 0 ? State::data : State::trailer_start;
      size_digits_ = 0;
      return ParseStatus::done;
    case State::data_cr:
      if (c != '\r') return refuse(Problem::malformed_request, "a chunk is not followed by CR LF");
      state_ = State::data_lf;
      return ParseStatus::done;
    case State::data_lf:
      if (c != '\n') return refuse(Problem::malformed_request, "a chunk is not followed by CR LF");
      state_ = State::size;
      return ParseStatus::done;
    case State::trailer_start:
      if (c == '\r') {
        state_ = State::end_lf;
        return ParseStatus::done;
      }
      state_ = State::trailer;
      trailer_has_colon_ = false;
      trailer_name_bytes_ = 0;
      [[fallthrough]];
    case State::trailer:
      return step_trailer(c);
    case State::trailer_lf:
      if (c != '\n') return refuse(Problem::malformed_request, "a trailer does not end in CR LF");
      state_ = State::trailer_start;
      return ParseStatus::done;
    case State::end_lf:
      if (c != '\n') return refuse(Problem::malformed_request, "the body does not end in CR LF");
      state_ = State::done;
      return ParseStatus::done;
    case State::fixed:
    case State::data:
    case State::done:
      break;
  }
  CHECK(false);
  return ParseStatus::bad;
}

// One byte of a trailer, which is read and dropped.
ParseStatus BodyReader::step_trailer(char c) {
  if (++trailer_bytes_ > limits::request_head_bytes_max)
    return refuse(Problem::head_too_large, "trailers may have 8192 bytes");
  if (trailer_has_colon_) {
    if (c == '\r')
      state_ = State::trailer_lf;
    else if (!is(value_bit, c))
      return refuse(Problem::malformed_request, "a trailer is malformed");
    return ParseStatus::done;
  }
  if (c == ':' && trailer_name_bytes_ > 0) {
    trailer_has_colon_ = true;
    // What frames or routes a message can't come after it (RFC 9110 section 6.5.1).
    std::string_view const name(trailer_name_.data(),
                                std::min(trailer_name_bytes_, trailer_name_.size()));
    for (std::string_view forbidden :
         {"content-length", "transfer-encoding", "connection", "host", "upgrade"})
      if (name == forbidden)
        return refuse(Problem::malformed_request, "a trailer can't frame or route the request");
    return ParseStatus::done;
  }
  if (!is(token_bit, c)) return refuse(Problem::malformed_request, "a trailer is malformed");
  if (trailer_name_bytes_ < trailer_name_.size()) trailer_name_[trailer_name_bytes_] = lower(c);
  ++trailer_name_bytes_;
  return ParseStatus::done;
}

// One byte of a chunk's extensions, ;NAME or ;NAME=TOKEN, which are read and dropped (RFC 9112
// section 7.1.1). A quoted value is refused: parsers differ on where it ends.
ParseStatus BodyReader::step_extension(char c) {
  if (++extension_bytes_ > limits::chunk_extension_bytes_max)
    return refuse(Problem::malformed_request, "a chunk extension may have 256 bytes");
  if (is(token_bit, c)) {
    if (state_ == State::extension_name_start) state_ = State::extension_name;
    if (state_ == State::extension_value_start) state_ = State::extension_value;
    return ParseStatus::done;
  }
  bool const whole = state_ == State::extension_name || state_ == State::extension_value;
  if (whole && c == '\r')
    state_ = State::size_lf;
  else if (whole && c == ';')
    state_ = State::extension_name_start;
  else if (c == '=' && state_ == State::extension_name)
    state_ = State::extension_value_start;
  else
    return refuse(Problem::malformed_request, "a chunk extension is not ;NAME or ;NAME=TOKEN");
  return ParseStatus::done;
}

}  // namespace huntd
