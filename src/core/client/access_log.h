// SPDX-License-Identifier: Apache-2.0
// One log line per response of the public port, if http.access_log asks for it. A thread writes the
// lines (log::write_later()). A line that it or the log has no room for is dropped and counted, as
// any other (base/log.h): no client waits for it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/pool.h"
#include "core/client/router.h"
#include "environment/clock.h"
#include "http/response.h"

namespace huntd::server {

struct AccessLog {
  enum class Mode : uint8_t { off, errors, sampled, all };
  Mode mode = Mode::off;
  uint32_t sample = 100;  // sampled: one response of this many

  bool on() const { return mode != Mode::off; }
  // Whether a response with this status gets a line.
  bool wants(int status, Clock& clock) const;
};

// REQUIRES: `name` is a value of http.access_log.
AccessLog::Mode access_log_mode(std::string_view name);

// What a line says of one request and its response. What is empty or 0 is left out of the line,
// except for `bytes`.
struct Access {
  std::string_view method;  // static text
  std::string_view call;    // static text: what the path asks for
  PoolString hunt_id;
  PoolString hunter_id;
  PoolString trace_id;
  PoolString client;  // its address
  int status = 0;
  size_t bytes = 0;             // of the response, with its head
  uint64_t received_at_ns = 0;  // its first byte
  uint64_t duration_ns = 0;     // from its first byte until the response can be sent

  // Takes what is known of a request. `head` and `route` may be of one that was rejected.
  void take(const RequestFacts& head, const Route& route);
};

// Writes the line to the log.
void log_access(const Access& access, std::string_view request_id, const HuntReport& report);
// The same line with its line break.
std::string access_line(const Access& access, std::string_view request_id,
                        const HuntReport& report);

}  // namespace huntd::server
