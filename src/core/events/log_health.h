// SPDX-License-Identifier: Apache-2.0
// Whether the event log takes events, for operators: Gauge::kafka_up and CoreMetrics::kafka_reason.
// What it does not take stays in the outbox, so an unavailable log is not a fault of the core.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "metrics/core_metrics.h"

namespace huntd::server {

class LogHealth {
 public:
  // Up, until something else is known; also without a log.
  explicit LogHealth(CoreMetrics& metrics);

  // The log's own state, from its connections. `reason` is empty if it is reachable.
  void on_reachable(std::string_view reason);
  // The log has stored an event: it is up.
  void on_stored(uint64_t ran_ns);
  // The log has not stored an event.
  void on_failed(std::string_view reason);
  // Once per tick. `in_flight` events have no report: for limits::log_silence_max_ns of
  // Scheduler::ran_ns() without a stored one, the log is not up.
  void watch(uint64_t ran_ns, size_t in_flight);

 private:
  void publish();

  CoreMetrics& metrics_;
  std::string unreachable_;  // each of these three: why the log is not up; or empty
  std::string failed_;
  std::string silent_;
  std::string published_;
  uint64_t silent_since_ns_ = 0;  // on the clock of ran_ns; 0: nothing is in flight
};

}  // namespace huntd::server
