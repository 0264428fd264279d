// SPDX-License-Identifier: Apache-2.0
#include "http/parser.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/trace_context.h"
#include "http/characters.h"

namespace huntd {

using namespace http;

namespace {

// Whether `text` is uri-host [":" port] (RFC 3986 section 3.2). True for an empty text, which Host
// may have; false if there is userinfo.
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

// A number of this many digits fits 64 bits.
constexpr size_t content_length_digits_max = 18;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Whether `text` is lowercase hex digits and not all of them are 0.
bool is_trace_field(std::string_view text) {
  bool some = false;
  for (char c : text) {
    if (!is_digit(c) && (c < 'a' || c > 'f')) return false;
    some |= c != '0';
  }
  return some;
}

// What follows the version of a traceparent, VERSION-TRACE_ID-PARENT_ID-FLAGS; empty if it is not
// valid. A version above 00 may have more fields (W3C Trace Context, section 3.2).
std::string_view trace_context_of(std::string_view value) {
  constexpr size_t bytes_of_00 = traceparent_bytes;
  if (value.size() < bytes_of_00 || value[2] != '-' || value[35] != '-' || value[52] != '-')
    return {};
  std::string_view const version = value.substr(0, 2);
  std::string_view const context = value.substr(traceparent_version.size(), trace_context_bytes);
  bool const fits = value.size() == bytes_of_00 || (version != "00" && value[bytes_of_00] == '-');
  bool const known_version = version == "00" || (is_trace_field(version) && version != "ff");
  std::string_view const flags = value.substr(53, 2);
  bool const flags_valid = flags == "00" || is_trace_field(flags);
  bool const valid = fits && known_version && flags_valid && is_trace_field(trace_id_of(context)) &&
                     is_trace_field(value.substr(36, 16));
  return valid ? context : std::string_view();
}

// The size of "http://" or "https://" at the front of a target that goes on behind it; else 0.
size_t scheme_bytes(std::string_view target) {
  for (std::string_view scheme : {"http://", "https://"})
    if (target.size() > scheme.size() && same_name(target.substr(0, scheme.size()), scheme))
      return scheme.size();
  return 0;
}

}  // namespace

std::string_view method_name(Method method) {
  for (const MethodName& known : method_names)
    if (known.method == method) return known.name;
  return "";
}

// A field that the parser interprets.
struct HeadParser::KnownField {
  Field field;
  std::string_view name;  // in lower case
  const char* repeated;   // the error if the field is repeated; null: none
  const char* tab;        // the error if there is a tab in or around the value; null: none
  ParseStatus (HeadParser::*take)(std::string_view value, RequestHead& head);
};

struct HeadParser::KnownFields {
  // In the order of Field. A tab is an error in the fields that frame the message: parsers differ
  // on whether it is a part of the value.
  // clang-format off
  static constexpr KnownField rows[] = {
      {Field::host, "host",
       "Host is repeated", nullptr, &HeadParser::take_host},
      {Field::expect, "expect",
       nullptr, nullptr, &HeadParser::take_expect},
      {Field::connection, "connection",
       nullptr, "Connection contains a tab", &HeadParser::take_connection},
      {Field::content_type, "content-type",
       "Content-Type is repeated", nullptr, &HeadParser::take_content_type},
      {Field::authorization, "authorization",
       "Authorization is repeated", nullptr, &HeadParser::take_authorization},
      {Field::traceparent, "traceparent",
       nullptr, nullptr, &HeadParser::take_traceparent},
      {Field::content_length, "content-length",
       "Content-Length is repeated", "Content-Length contains a tab",
       &HeadParser::take_content_length},
      {Field::idempotency_key, "idempotency-key",
       "Idempotency-Key is repeated", nullptr, &HeadParser::take_idempotency_key},
      {Field::transfer_encoding, "transfer-encoding",
       "Transfer-Encoding is repeated", "Transfer-Encoding contains a tab",
       &HeadParser::take_transfer_encoding},
  };
  // clang-format on
  static_assert(std::size(rows) == static_cast<size_t>(Field::count_));

  // No two names have the same length, so the length alone picks the only row to compare: most
  // headers of a request are rejected by it.
  static constexpr size_t name_bytes_max = 17;
  static constexpr auto by_length = [] {
    std::array<const KnownField*, name_bytes_max + 1> found{};
    for (size_t i = 0; i < std::size(rows); ++i) {
      CHECK(rows[i].field == static_cast<Field>(i) && found[rows[i].name.size()] == nullptr);
      found[rows[i].name.size()] = &rows[i];
    }
    return found;
  }();

  static const KnownField* find(std::string_view name) {
    if (name.size() > name_bytes_max) return nullptr;
    const KnownField* const row = by_length[name.size()];
    return row != nullptr && same_name(name, row->name) ? row : nullptr;
  }
};

ParseStatus HeadParser::fail(Problem problem, const char* detail) {
  bad_ = {problem, detail};
  return ParseStatus::bad;
}

ParseStatus HeadParser::parse(std::string_view bytes, RequestHead& head) {
  // One empty line before a request is ignored (RFC 9112 section 2.2).
  size_t const start = bytes.starts_with("\r\n") ? 2 : 0;
  size_t end = 0;
  ParseStatus const status = find_end(bytes, start, end);
  if (status != ParseStatus::done) return status;

  static_cast<RequestFacts&>(head) = RequestFacts();
  consumed_ = end;
  std::string_view rest = bytes.substr(start, end - start - 2);  // the lines, each with its CR LF
  size_t const line_end = rest.find('\r');
  if (rest[line_end + 1] != '\n')
    return fail(Problem::malformed_request, "the request line contains a bare CR");
  if (parse_request_line(rest.substr(0, line_end), head) == ParseStatus::bad)
    return ParseStatus::bad;
  rest.remove_prefix(line_end + 2);
  while (!rest.empty())
    if (parse_field(rest, head) == ParseStatus::bad) return ParseStatus::bad;
  return finish(head);
}

// Sets `end` to the position behind the empty line that ends the head. Continues where the last
// call stopped.
ParseStatus HeadParser::find_end(std::string_view bytes, size_t start, size_t& end) {
  size_t const bound = std::min(bytes.size(), start + limits::request_head_bytes_max);
  size_t at = std::max(scanned_, start);
  while (at < bound) {
    const void* const found = std::memchr(bytes.data() + at, '\n', bound - at);
    if (found == nullptr) break;
    size_t const lf = static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
    if (lf == start || bytes[lf - 1] != '\r')
      return fail(Problem::malformed_request, "a line ends in a bare LF");
    if (lf - start == 1) return fail(Problem::malformed_request, "the request line is empty");
    at = lf + 1;
    if (lf - start >= 3 && bytes[lf - 2] == '\n') {
      scanned_ = at;
      end = at;
      return ParseStatus::done;
    }
  }
  scanned_ = std::max(at, bound);
  if (bytes.size() > bound)
    return fail(Problem::head_too_large, "the request line and headers have more than 8192 bytes");
  return ParseStatus::need_more;
}

ParseStatus HeadParser::parse_request_line(std::string_view line, RequestHead& head) {
  if (line.size() > limits::request_line_bytes_max)
    return fail(Problem::head_too_large, "the request line has more than 4096 bytes");
  std::string_view const method = line.substr(0, span(token_bit, line));
  std::string_view rest = line.substr(method.size());
  if (method.empty() || !rest.starts_with(' '))
    return fail(Problem::malformed_request,
                "the request line does not start with a method and one space");
  rest.remove_prefix(1);
  head.target = rest.substr(0, span(target_bit, rest));
  rest.remove_prefix(head.target.size());
  if (head.target.empty())
    return fail(Problem::malformed_request, "the method is not followed by one space and a URI");
  if (rest.empty())
    return fail(Problem::malformed_request, "the request line is not METHOD TARGET VERSION");
  if (rest.front() != ' ')
    return fail(Problem::malformed_request, "the target contains a character that a URI must not");
  if (parse_version(rest.substr(1), head) == ParseStatus::bad) return ParseStatus::bad;

  auto const known = std::find_if(std::begin(method_names), std::end(method_names),
                                  [&](const MethodName& each) { return each.name == method; });
  if (known == std::end(method_names))
    return fail(Problem::method_unknown, "the method is unknown");
  head.method = known->method;
  return parse_target(head);
}

ParseStatus HeadParser::parse_version(std::string_view version, RequestHead& head) {
  bool const well_formed = version.size() == 8 && version.starts_with("HTTP/") &&
                           is_digit(version[5]) && version[6] == '.' && is_digit(version[7]);
  if (!well_formed) return fail(Problem::malformed_request, "the version is not HTTP/1.1");
  if (version[5] != '1' || version[7] > '1')
    return fail(Problem::version_not_supported, "only HTTP/1.0 and HTTP/1.1 are supported");
  head.minor_version = version[7] - '0';
  return ParseStatus::done;
}

// Sets head.path. REQUIRES: head.target and head.method are set.
ParseStatus HeadParser::parse_target(RequestHead& head) {
  std::string_view path = head.target;
  if (path == "*") {
    if (head.method != Method::options)
      return fail(Problem::malformed_request, "the target * is only for OPTIONS");
  } else if (size_t const scheme = scheme_bytes(path); scheme > 0) {
    // The absolute form, which proxies send. Its authority replaces the value of Host, which may
    // differ from it (RFC 9112 section 3.2.2); huntd has one origin, so neither is used.
    path.remove_prefix(scheme);
    size_t const authority_end = std::min(path.find_first_of("/?"), path.size());
    std::string_view const authority = path.substr(0, authority_end);
    if (authority.empty() || !is_authority(authority))
      return fail(Problem::malformed_request, "the target's authority is malformed");
    path.remove_prefix(authority_end);
    if (path.empty() || path.front() == '?') path = "/";
  } else if (path.front() != '/') {
    return fail(Problem::malformed_request,
                "the target is neither a path nor an http or https URI");
  }
  head.path = path.substr(0, path.find('?'));
  return ParseStatus::done;
}

// Reads the header at the front of `rest` and removes its line. REQUIRES: `rest` ends in CR LF.
ParseStatus HeadParser::parse_field(std::string_view& rest, RequestHead& head) {
  if (rest.front() == ' ' || rest.front() == '\t')
    return fail(Problem::malformed_request, "a header continues on a second line");
  std::string_view const name = rest.substr(0, span(token_bit, rest));
  rest.remove_prefix(name.size());
  if (name.empty() || rest.front() != ':')
    return fail(Problem::malformed_request, "a header does not start with a token and a colon");
  rest.remove_prefix(1);
  std::string_view const around = rest.substr(0, value_span(rest));
  rest.remove_prefix(around.size());
  if (!rest.starts_with("\r\n"))
    return fail(Problem::malformed_request, "a header value contains a control character");
  rest.remove_prefix(2);
  if (head.header_count == limits::request_headers_max)
    return fail(Problem::head_too_large, "the request has more than 64 headers");
  std::string_view const value = trim(around);
  head.headers[head.header_count++] = {name, value};
  return note_field(name, value, around.find('\t') != std::string_view::npos, head);
}

// Interprets a known field. `tab`: there is a tab in or around the value.
ParseStatus HeadParser::note_field(std::string_view name, std::string_view value, bool tab,
                                   RequestHead& head) {
  const KnownField* const known = KnownFields::find(name);
  if (known == nullptr) return ParseStatus::done;
  if (tab && known->tab != nullptr) return fail(Problem::malformed_request, known->tab);
  if (seen(known->field) && known->repeated != nullptr)
    return fail(Problem::malformed_request, known->repeated);
  seen_.set(static_cast<size_t>(known->field));
  return (this->*known->take)(value, head);
}

ParseStatus HeadParser::take_host(std::string_view value, RequestHead&) {
  if (!is_authority(value)) return fail(Problem::malformed_request, "Host is malformed");
  return ParseStatus::done;
}

ParseStatus HeadParser::take_expect(std::string_view value, RequestHead& head) {
  if (head.expect_continue || !same_name(value, "100-continue"))
    return fail(Problem::expectation_failed, "Expect must be 100-continue");
  head.expect_continue = true;
  return ParseStatus::done;
}

ParseStatus HeadParser::take_connection(std::string_view value, RequestHead&) {
  std::string_view list = value;
  while (!list.empty()) {
    size_t const comma = std::min(list.find(','), list.size());
    std::string_view const option = trim(list.substr(0, comma));
    if (!option.empty() && !is_token(option))
      return fail(Problem::malformed_request, "Connection is malformed");
    if (same_name(option, "close")) wants_close_ = true;
    if (same_name(option, "keep-alive")) wants_keep_alive_ = true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return ParseStatus::done;
}

ParseStatus HeadParser::take_content_type(std::string_view value, RequestHead& head) {
  head.content_type = value;
  return ParseStatus::done;
}

ParseStatus HeadParser::take_authorization(std::string_view value, RequestHead& head) {
  head.authorization = value;
  return ParseStatus::done;
}

// Of several, none is valid: it is unknown which one is of the caller.
ParseStatus HeadParser::take_traceparent(std::string_view value, RequestHead& head) {
  bool const repeated = std::exchange(has_traceparent_, true);
  head.trace_context = repeated ? std::string_view() : trace_context_of(value);
  return ParseStatus::done;
}

ParseStatus HeadParser::take_content_length(std::string_view value, RequestHead& head) {
  if (value.empty() || !std::all_of(value.begin(), value.end(), is_digit))
    return fail(Problem::malformed_request, "Content-Length is not a number");
  if (value.size() > content_length_digits_max)
    return fail(Problem::body_too_large, "the body has more than 16384 bytes");
  for (char c : value)
    head.content_length = head.content_length * 10 + static_cast<uint64_t>(c - '0');
  return ParseStatus::done;
}

ParseStatus HeadParser::take_idempotency_key(std::string_view value, RequestHead& head) {
  head.has_idempotency_key = true;
  head.idempotency_key = value;
  return ParseStatus::done;
}

ParseStatus HeadParser::take_transfer_encoding(std::string_view value, RequestHead& head) {
  if (!same_name(value, "chunked"))
    return fail(Problem::coding_unknown, "Transfer-Encoding must be chunked");
  head.chunked = true;
  return ParseStatus::done;
}

// The checks that need all fields.
ParseStatus HeadParser::finish(RequestHead& head) {
  if (head.chunked && seen(Field::content_length))
    return fail(Problem::malformed_request,
                "Content-Length and Transfer-Encoding cannot be combined");
  if (head.chunked && head.minor_version == 0)
    return fail(Problem::malformed_request, "HTTP/1.0 has no Transfer-Encoding");
  if (!seen(Field::host) && head.minor_version == 1)
    return fail(Problem::malformed_request, "Host is missing");
  if (head.content_length > limits::request_body_bytes_max)
    return fail(Problem::body_too_large, "the body has more than 16384 bytes");
  if (head.minor_version == 0) {
    head.keep_alive = wants_keep_alive_ && !wants_close_;
    head.expect_continue = false;  // RFC 9110 section 10.1.1
  } else if (wants_close_) {
    head.keep_alive = false;
  }
  return ParseStatus::done;
}

}  // namespace huntd
