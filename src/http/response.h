// SPDX-License-Identifier: Apache-2.0
// An HTTP response and its serialization.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/pool.h"

namespace huntd {

inline constexpr std::string_view json_type = "application/json";
inline constexpr std::string_view problem_type = "application/problem+json";

// What the access log says of a hunt; clients do not get it. The numbers are those of enums in
// metrics/core_metrics.h.
struct HuntReport {
  static constexpr uint8_t no_outcome = 0xff;
  uint8_t outcome = no_outcome;           // the Counter of its outcome
  std::array<uint64_t, 4> stage_ns = {};  // by Stage, of the last run; 0: it had no such stage
};

struct Response {
  int status = 200;
  std::string_view content_type = json_type;  // static text
  PoolString bundle;                          // Hunt-Bundle; empty: no such header
  uint32_t retry_after_s = 0;                 // Retry-After; 0: no such header
  std::string_view allow = {};                // Allow; static text; empty: no such header
  std::string_view authenticate = {};         // WWW-Authenticate; as allow
  // Access-Control-Allow-Methods, if this responds to a preflight; as allow.
  std::string_view cors_methods = {};
  PoolString body;
  HuntReport report = {};
};

// How a response is framed for its request.
struct Framing {
  bool head_only = false;  // HEAD: the same headers without a body (RFC 9110 section 9.3.2)
  bool keep_alive = true;
  bool http_1_0 = false;  // the client closes the connection unless the response has keep-alive
  uint32_t idle_s = 0;    // Keep-Alive: timeout, if keep_alive; 0: no such header
  // Access-Control-Allow-Origin, "*" or an origin; outlives the response; empty: no such header.
  std::string_view cors_origin = {};
};

// How many seconds a client may leave a connection idle, so that none of its requests meets the
// deadline at which the connection is closed: some seconds less. 0: too short to promise anything.
uint32_t idle_promise_s(uint32_t idle_deadline_ms);

// Appends the response to `out`, with Cache-Control: no-store. `date` is an IMF-fixdate (RFC 9110
// section 5.6.7). `request_id`, the value of X-Request-Id, must be visible ASCII.
void append_response(std::string& out, const Response& response, Framing framing,
                     std::string_view date, std::string_view request_id);

// The interim response to Expect: 100-continue.
inline constexpr std::string_view continue_response = "HTTP/1.1 100 Continue\r\n\r\n";

// The value of the Date header; formatted once per second.
class DateText {
 public:
  // The view is valid until the next call.
  std::string_view at(int64_t wall_ms);

 private:
  int64_t second_ = -1;
  char text_[32] = {};
};

// The reason phrase of a status; empty for a status that huntd never sends.
std::string_view reason_phrase(int status);

}  // namespace huntd
