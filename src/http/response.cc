// SPDX-License-Identifier: Apache-2.0
#include "http/response.h"

#include <algorithm>
#include <charconv>
#include <ctime>

namespace huntd {

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 424:
      return "Failed Dependency";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

namespace {

// How long a browser may keep the result of a preflight; browsers have bounds of their own.
constexpr uint64_t cors_max_age_s = 7200;

void append_number(std::string& out, uint64_t number) {
  char digits[24];
  auto const end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, static_cast<size_t>(end - digits));
}

void append_connection(std::string& out, Framing framing) {
  if (!framing.keep_alive) {
    out.append("\r\nConnection: close");
  } else if (framing.idle_s != 0) {
    // Keep-Alive is of this hop only, so Connection names it (RFC 9110 section 7.6.1).
    out.append("\r\nConnection: keep-alive\r\nKeep-Alive: timeout=");
    append_number(out, framing.idle_s);
  } else if (framing.http_1_0) {
    out.append("\r\nConnection: keep-alive");
  }
}

// What a page of another origin may read of the response, and after a preflight send (Fetch
// Standard, section 3.2). The lists are explicit: "*" would not include Authorization.
void append_cors(std::string& out, const Response& response, std::string_view origin) {
  if (origin.empty()) return;
  out.append("\r\nAccess-Control-Allow-Origin: ").append(origin);
  if (origin != "*") out.append("\r\nVary: Origin");
  if (response.cors_methods.empty()) {
    out.append("\r\nAccess-Control-Expose-Headers: X-Request-Id, Hunt-Bundle, Retry-After");
    return;
  }
  out.append("\r\nAccess-Control-Allow-Methods: ").append(response.cors_methods);
  out.append(
      "\r\nAccess-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, traceparent");
  out.append("\r\nAccess-Control-Max-Age: ");
  append_number(out, cors_max_age_s);
}

}  // namespace

uint32_t idle_promise_s(uint32_t idle_deadline_ms) {
  uint32_t const deadline_s = idle_deadline_ms / 1000;
  if (deadline_s < 2) return 0;
  return deadline_s - std::clamp<uint32_t>(deadline_s / 4, 1, 5);
}

void append_response(std::string& out, const Response& response, Framing framing,
                     std::string_view date, std::string_view request_id) {
  out.reserve(out.size() + 448 + response.body.size());
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<uint64_t>(response.status));
  out.push_back(' ');
  out.append(reason_phrase(response.status));
  out.append("\r\nServer: huntd\r\nDate: ");
  out.append(date);
  // What a hunter holds changes with each request, and an error is of this moment.
  constexpr std::string_view uncached = "\r\nCache-Control: no-store";
  if (response.status == 204) {  // it has neither a body nor a length (RFC 9110 section 8.6)
    out.append(uncached);
  } else {
    out.append("\r\nContent-Type: ").append(response.content_type);
    out.append(uncached).append("\r\nContent-Length: ");
    append_number(out, response.body.size());
  }
  out.append("\r\nX-Request-Id: ").append(request_id);
  if (!response.bundle.empty()) out.append("\r\nHunt-Bundle: ").append(response.bundle);
  if (response.retry_after_s != 0) {
    out.append("\r\nRetry-After: ");
    append_number(out, response.retry_after_s);
  }
  if (!response.authenticate.empty())
    out.append("\r\nWWW-Authenticate: ").append(response.authenticate);
  if (!response.allow.empty()) out.append("\r\nAllow: ").append(response.allow);
  append_cors(out, response, framing.cors_origin);
  append_connection(out, framing);
  out.append("\r\n\r\n");
  if (!framing.head_only) out.append(response.body);
}

std::string_view DateText::at(int64_t wall_ms) {
  int64_t const second = wall_ms / 1000;
  if (second != second_) {
    second_ = second;
    time_t const time = second;
    tm parts{};
    gmtime_r(&time, &parts);
    std::strftime(text_, sizeof text_, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  }
  return text_;
}

}  // namespace huntd
