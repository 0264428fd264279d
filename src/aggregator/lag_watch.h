// SPDX-License-Identifier: Apache-2.0
// Counts the events that are awarded and not in the table, in a thread of its own, and gives the
// figures to the metrics: also while the loop waits for PostgreSQL or reads nothing.
#pragma once
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "aggregator/metrics.h"
#include "aggregator/source/outbox_lengths.h"
#include "aggregator/source/topic_lag.h"
#include "config/config.h"

namespace huntd::aggregator {

class LagWatch {
 public:
  // Starts the thread. `metrics` must outlive the watch.
  LagWatch(const Config& config, Metrics& metrics);
  // Ends the thread; waits for a count that runs.
  ~LagWatch();
  LagWatch(const LagWatch&) = delete;
  LagWatch& operator=(const LagWatch&) = delete;

 private:
  void run();
  Metrics::Counted count();
  // Logs once that the lag has not been known for long, and that it is known again.
  void report(const Metrics::Counted& counted);

  Metrics& metrics_;
  OutboxLengths outbox_;
  std::optional<TopicLag> topic_;  // nothing without Kafka
  int64_t committed_ = 0;          // at the last count of the topic
  int64_t waiting_since_ms_ = 0;   // wall; since when events wait without progress; 0: none do
  int64_t unknown_since_ms_ = 0;   // monotonic; 0: it is known
  bool reported_ = false;
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace huntd::aggregator
