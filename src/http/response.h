// An answer, and its bytes on the wire.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/pool.h"

namespace huntd {

inline constexpr std::string_view json_type = "application/json";
inline constexpr std::string_view problem_type = "application/problem+json";

struct Response {
  int status = 200;
  std::string_view content_type = json_type;  // static text
  Text bundle;                                // Hunt-Bundle; empty: no such header
  uint32_t retry_after_s = 0;                 // Retry-After; 0: no such header
  std::string_view allow = {};                // Allow; empty: no such header; static text
  std::string_view authenticate = {};         // WWW-Authenticate; the same
  Text body;
};

// How an answer is put on the wire.
struct Framing {
  bool head_only =
      false;  // the request was HEAD: the same headers and no body (RFC 9110 section 9.3.2)
  bool keep_alive = true;
  bool http_1_0 = false;  // such a client keeps the connection only where it is told so
};

// Appends the whole answer to `out`. `date` is an IMF-fixdate (RFC 9110 section 5.6.7).
void append_response(std::string& out, const Response& response, Framing framing,
                     std::string_view date);

// The interim answer that a client with Expect: 100-continue waits for.
inline constexpr std::string_view continue_response = "HTTP/1.1 100 Continue\r\n\r\n";

// The Date header's text, made anew once a second.
class DateText {
 public:
  std::string_view at(int64_t wall_ms);

 private:
  int64_t second_ = -1;
  char text_[32] = {};
};

// The reason phrase of a status; "" for one that huntd never sends.
std::string_view reason_phrase(int status);

}  // namespace huntd
