// SPDX-License-Identifier: Apache-2.0
#include "core/events/log_health.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

namespace huntd::server {

LogHealth::LogHealth(CoreMetrics& metrics) : metrics_(metrics) { metrics_.set(Gauge::kafka_up, 1); }

void LogHealth::on_reachable(std::string_view reason) {
  unreachable_ = reason;
  publish();
}

void LogHealth::on_stored(uint64_t ran_ns) {
  silent_since_ns_ = ran_ns;
  if (published_.empty()) return;
  unreachable_.clear();
  failed_.clear();
  silent_.clear();
  publish();
}

void LogHealth::on_failed(std::string_view reason) {
  failed_ = reason;
  publish();
}

void LogHealth::watch(uint64_t ran_ns, size_t in_flight) {
  if (in_flight == 0) {
    silent_since_ns_ = 0;
    return;
  }
  if (silent_since_ns_ == 0) silent_since_ns_ = ran_ns;
  if (!silent_.empty() || ran_ns < silent_since_ns_ + limits::log_silence_max_ns) return;
  silent_ = "no event was acknowledged for " +
            std::to_string(limits::log_silence_max_ns / ns_per_s) + " s";
  publish();
}

// The log's own reason says the most.
void LogHealth::publish() {
  const std::string& reason = !unreachable_.empty() ? unreachable_
                              : !failed_.empty()    ? failed_
                                                    : silent_;
  if (reason == published_) return;
  if (reason.empty())
    log::notice("Kafka takes events again");
  else if (published_.empty())
    log::warning("Kafka takes no events: they stay in the outbox", {{"error", reason}});
  published_ = reason;
  metrics_.kafka_reason.set(reason);
  metrics_.set(Gauge::kafka_up, reason.empty() ? 1 : 0);
}

}  // namespace huntd::server
