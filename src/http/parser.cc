#include "http/parser.h"

#include <algorithm>
#include <cstring>

#include "http/characters.h"

namespace huntd {

using namespace http;

namespace {

// uri-host [":" port] (RFC 3986 section 3.2); an empty one is fine for Host, userinfo is refused.
bool is_authority(std::string_view text) {
  size_t host_end = 0;
  if (text.starts_with('[')) {
    host_end = text.find(']');
    if (host_end == std::string_view::npos || host_end < 3) return false;
    for (char c : text.substr(1, host_end - 1))
      if (!is(hex_bit, c) && c != ':' && c != '.') return false;
    ++host_end;
  } else {
    host_end = span(host_bit, text);
    while (text.substr(host_end).starts_with('%')) {
      if (text.size() - host_end < 3 || !is(hex_bit, text[host_end + 1]) ||
          !is(hex_bit, text[host_end + 2]))
        return false;
      host_end += 3;
      host_end += span(host_bit, text.substr(host_end));
    }
  }
  if (host_end == text.size()) return true;
  std::string_view const port = text.substr(host_end + 1);
  if (text[host_end] != ':' || host_end == 0 || port.size() > 5) return false;
  uint32_t number = 0;
  for (char c : port) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + static_cast<uint32_t>(c - '0');
  }
  return number <= 65535;
}

struct MethodName {
  std::string_view name;
  Method method;
};
constexpr MethodName method_names[] = {{"GET", Method::get},         {"POST", Method::post},
                                       {"HEAD", Method::head},       {"PUT", Method::put},
                                       {"PATCH", Method::patch},     {"DELETE", Method::del},
                                       {"OPTIONS", Method::options}, {"TRACE", Method::trace}};

}  // namespace

ParseStatus HeadParser::refuse(Problem problem, const char* detail) {
  bad_ = {problem, detail};
  return ParseStatus::bad;
}

ParseStatus HeadParser::parse(std::string_view bytes, RequestHead& head) {
  // One empty line before a request is passed over (RFC 9112 section 2.2).
  size_t const begin = bytes.starts_with("\r\n") ? 2 : 0;
  // Look for the empty line that ends the head, from where the last call stopped.
  size_t const bound = std::min(bytes.size(), begin + limits::request_head_bytes_max);
  size_t at = std::max(scanned_, begin);
  size_t end = 0;
  while (end == 0 && at < bound) {
    const void* found = std::memchr(bytes.data() + at, '\n', bound - at);
    if (found == nullptr) {
      at = bound;
      break;
    }
    size_t const lf = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
    if (lf == begin || bytes[lf - 1] != '\r')
      return refuse(Problem::malformed_request, "a line ends in a bare LF");
    if (lf - begin == 1) return refuse(Problem::malformed_request, "the request line is empty");
    at = lf + 1;
    if (lf - begin >= 3 && bytes[lf - 2] == '\n') end = at;
  }
  scanned_ = at;
  if (end == 0) {
    if (bytes.size() > bound)
      return refuse(Problem::head_too_large, "the request line and headers may have 8192 bytes");
    return ParseStatus::need_more;
  }

  static_cast<RequestFacts&>(head) = RequestFacts();
  consumed_ = end;
  std::string_view rest = bytes.substr(begin, end - begin - 2);  // each line with its CR LF
  size_t const line_end = rest.find('\r');
  if (rest[line_end + 1] != '\n')
    return refuse(Problem::malformed_request, "the request line holds a bare CR");
  if (parse_request_line(rest.substr(0, line_end), head) == ParseStatus::bad)
    return ParseStatus::bad;
  rest.remove_prefix(line_end + 2);
  while (!rest.empty())
    if (parse_field(rest, head) == ParseStatus::bad) return ParseStatus::bad;
  return finish(head);
}

ParseStatus HeadParser::parse_request_line(std::string_view line, RequestHead& head) {
  if (line.size() > limits::request_line_bytes_max)
    return refuse(Problem::head_too_large, "the request line may have 4096 bytes");
  std::string_view const method = line.substr(0, span(token_bit, line));
  std::string_view rest = line.substr(method.size());
  if (method.empty() || !rest.starts_with(' '))
    return refuse(Problem::malformed_request,
                  "the request line does not begin with a method and one space");
  rest.remove_prefix(1);
  head.target = rest.substr(0, span(target_bit, rest));
  rest.remove_prefix(head.target.size());
  if (head.target.empty())
    return refuse(Problem::malformed_request, "the method is not followed by one space and a URI");
  if (rest.empty())
    return refuse(Problem::malformed_request, "the request line is not METHOD TARGET VERSION");
  if (rest.front() != ' ')
    return refuse(Problem::malformed_request, "the target holds a character that a URI can't");
  std::string_view const version = rest.substr(1);

  bool const digits = version.size() == 8 && version.starts_with("HTTP/") && version[5] >= '0' &&
                      version[5] <= '9' && version[6] == '.' && version[7] >= '0' &&
                      version[7] <= '9';
  if (!digits) return refuse(Problem::malformed_request, "the version is not HTTP/1.1");
  if (version[5] != '1' || version[7] > '1')
    return refuse(Problem::version_not_supported, "HTTP/1.1 and HTTP/1.0 are spoken here");
  head.minor_version = version[7] - '0';

  auto const known = std::find_if(std::begin(method_names), std::end(method_names),
                                  [&](const MethodName& each) { return each.name == method; });
  if (known == std::end(method_names))
    return refuse(Problem::method_unknown, "the method is not known");
  head.method = known->method;

  std::string_view path = head.target;
  if (path.front() != '/') {
    if (path == "*") {
      if (head.method != Method::options)
        return refuse(Problem::malformed_request, "the target * is for OPTIONS");
    } else if (path.size() > 7 && same_name(path.substr(0, 7), "http://")) {
      // absolute-form, as a proxy sends it (RFC 9112 section 3.2.2)
      path.remove_prefix(7);
      size_t const slash = std::min(path.find_first_of("/?"), path.size());
      authority_ = path.substr(0, slash);
      has_authority_ = true;
      if (authority_.empty() || !is_authority(authority_))
        return refuse(Problem::malformed_request, "the target's authority is malformed");
      path.remove_prefix(slash);
      if (path.empty() || path.front() == '?') path = "/";
    } else {
      return refuse(Problem::malformed_request, "the target is neither a path nor an http URI");
    }
  }
  head.path = path.substr(0, path.find('?'));
  return ParseStatus::done;
}

// Reads the line at the front of `rest` and takes it off. What `rest` ends in CR LF is known.
ParseStatus HeadParser::parse_field(std::string_view& rest, RequestHead& head) {
  if (rest.front() == ' ' || rest.front() == '\t')
    return refuse(Problem::malformed_request, "a header is folded over two lines");
  std::string_view const name = rest.substr(0, span(token_bit, rest));
  rest.remove_prefix(name.size());
  if (name.empty() || rest.front() != ':')
    return refuse(Problem::malformed_request, "a header's name is not a token and a colon");
  rest.remove_prefix(1);
  std::string_view const around = rest.substr(0, value_span(rest));
  rest.remove_prefix(around.size());
  if (!rest.starts_with("\r\n"))
    return refuse(Problem::malformed_request, "a header's value holds a control character");
  rest.remove_prefix(2);
  if (head.header_count == limits::request_headers_max)
    return refuse(Problem::head_too_large, "a request may have 64 headers");
  std::string_view const value = trim(around);
  head.headers[head.header_count++] = {name, value};
  return note_field(name, value, around.find('\t') != std::string_view::npos, head);
}

// Keeps what a field says where it is one of ours. `tab`: there is one in or around the value, and
// parsers differ on whether it is a part of it.
ParseStatus HeadParser::note_field(std::string_view name, std::string_view value, bool tab,
                                   RequestHead& head) {
  // Told apart by length first: most fields are none of ours.
  switch (name.size()) {
    case 4:
      if (same_name(name, "host")) {
        if (has_host_) return refuse(Problem::malformed_request, "Host comes twice");
        if (!is_authority(value)) return refuse(Problem::malformed_request, "Host is malformed");
        has_host_ = true;
        host_ = value;
      }
      break;
    case 6:
      if (same_name(name, "expect")) {
        if (has_expect_ || !same_name(value, "100-continue"))
          return refuse(Problem::expectation_failed, "Expect may be 100-continue");
        has_expect_ = true;
        head.expect_continue = true;
      }
      break;
    case 10:
      if (same_name(name, "connection")) {
        if (tab) return refuse(Problem::malformed_request, "Connection holds a tab");
        std::string_view list = value;
        while (!list.empty()) {
          size_t const comma = std::min(list.find(','), list.size());
          std::string_view const option = trim(list.substr(0, comma));
          if (!option.empty() && !is_token(option))
            return refuse(Problem::malformed_request, "Connection is malformed");
          if (same_name(option, "close")) says_close_ = true;
          if (same_name(option, "keep-alive")) says_keep_alive_ = true;
          list.remove_prefix(std::min(comma + 1, list.size()));
        }
      }
      break;
    case 12:
      if (same_name(name, "content-type")) {
        if (has_content_type_)
          return refuse(Problem::malformed_request, "Content-Type comes twice");
        has_content_type_ = true;
        head.content_type = value;
      }
      break;
    case 13:
      if (same_name(name, "authorization")) {
        if (has_authorization_)
          return refuse(Problem::malformed_request, "Authorization comes twice");
        has_authorization_ = true;
        head.authorization = value;
      }
      break;
    case 14:
      if (same_name(name, "content-length")) {
        if (tab) return refuse(Problem::malformed_request, "Content-Length holds a tab");
        if (has_length_) return refuse(Problem::malformed_request, "Content-Length comes twice");
        has_length_ = true;
        if (value.empty())
          return refuse(Problem::malformed_request, "Content-Length is not a number");
        for (char c : value)
          if (c < '0' || c > '9')
            return refuse(Problem::malformed_request, "Content-Length is not a number");
        if (value.size() > 18)
          return refuse(Problem::body_too_large, "a body may have 16384 bytes");
        for (char c : value)
          head.content_length = head.content_length * 10 + static_cast<uint64_t>(c - '0');
      }
      break;
    case 15:
      if (same_name(name, "idempotency-key")) {
        if (head.has_idempotency_key)
          return refuse(Problem::malformed_request, "Idempotency-Key comes twice");
        head.has_idempotency_key = true;
        head.idempotency_key = value;
      }
      break;
    case 17:
      if (same_name(name, "transfer-encoding")) {
        if (tab) return refuse(Problem::malformed_request, "Transfer-Encoding holds a tab");
        if (has_coding_) return refuse(Problem::malformed_request, "Transfer-Encoding comes twice");
        has_coding_ = true;
        if (!same_name(value, "chunked"))
          return refuse(Problem::coding_unknown, "Transfer-Encoding may be chunked");
        head.chunked = true;
      }
      break;
    default:
      break;
  }
  return ParseStatus::done;
}

ParseStatus HeadParser::finish(RequestHead& head) {
  if (head.chunked && has_length_)
    return refuse(Problem::malformed_request,
                  "Content-Length and Transfer-Encoding can't come together");
  if (head.chunked && head.minor_version == 0)
    return refuse(Problem::malformed_request, "HTTP/1.0 has no Transfer-Encoding");
  if (!has_host_ && head.minor_version == 1)
    return refuse(Problem::malformed_request, "Host is missing");
  if (has_authority_ && has_host_) {
    bool const same = authority_.size() == host_.size() &&
                      std::equal(authority_.begin(), authority_.end(), host_.begin(),
                                 [](char a, char b) { return lower(a) == lower(b); });
    if (!same) return refuse(Problem::malformed_request, "Host and the target's authority differ");
  }
  if (head.content_length > limits::request_body_bytes_max)
    return refuse(Problem::body_too_large, "a body may have 16384 bytes");
  if (head.minor_version == 0) {
    head.keep_alive = says_keep_alive_ && !says_close_;
    head.expect_continue = false;  // RFC 9110 section 10.1.1
  } else if (says_close_) {
    head.keep_alive = false;
  }
  return ParseStatus::done;
}

}  // namespace huntd
