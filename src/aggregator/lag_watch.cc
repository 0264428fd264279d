// SPDX-License-Identifier: Apache-2.0
#include "aggregator/lag_watch.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "aggregator/sessions/aggregator_limits.h"
#include "base/clock.h"
#include "base/log.h"

namespace huntd::aggregator {

LagWatch::LagWatch(const Config& config, Metrics& metrics) : metrics_(metrics), outbox_(config) {
  if (!config.kafka.bootstrap.empty()) topic_.emplace(config);
  if (config.redis.cluster) outbox_.use(std::bitset<limits::buckets>().set());
  thread_ = std::thread([this] { run(); });
}

LagWatch::~LagWatch() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_one();
  thread_.join();
}

void LagWatch::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    Metrics::Counted counted = count();
    report(counted);
    metrics_.counted(std::move(counted));
    lock.lock();
    stopping_.wait_for(lock, std::chrono::milliseconds(limits::lag_count_interval_ms),
                       [this] { return stop_; });
  }
}

void LagWatch::report(const Metrics::Counted& counted) {
  int64_t const now_ms = monotonic_ms();
  if (counted.unknown.empty()) {
    if (reported_) log::notice("the lag is known again");
    reported_ = false;
    unknown_since_ms_ = 0;
    return;
  }
  if (unknown_since_ms_ == 0) unknown_since_ms_ = now_ms;
  if (reported_ || now_ms - unknown_since_ms_ < limits::lag_stale_ms) return;
  reported_ = true;
  log::warning("the lag is not known in full, more events may be waiting than the metrics say",
               {{"reason", counted.unknown}});
}

Metrics::Counted LagWatch::count() {
  Metrics::Counted found;
  int64_t const now_ms = wall_ms();
  if (topic_) {
    Result<TopicLag::Count> const topic = topic_->count();
    if (topic) {
      found.topic_events = topic->events;
      if (topic->events == 0)
        waiting_since_ms_ = 0;
      else if (waiting_since_ms_ == 0 || topic->committed != committed_)
        waiting_since_ms_ = now_ms;
      committed_ = topic->committed;
    } else {
      found.unknown = topic.error().message;
    }
    if (waiting_since_ms_ != 0)
      found.oldest_age_s = static_cast<double>(now_ms - waiting_since_ms_) / 1000.0;
  }
  // Without Kafka the loop reads the outbox, so it knows what is there as long as it runs.
  if (!topic_ && metrics_.loop_counts_outbox()) return found;
  found.outbox_events = outbox_.total(monotonic_ms());
  if (!found.outbox_events && found.unknown.empty()) found.unknown = outbox_.reason();
  found.oldest_age_s =
      std::max(found.oldest_age_s, static_cast<double>(outbox_.oldest_age_ms()) / 1000.0);
  return found;
}

}  // namespace huntd::aggregator
