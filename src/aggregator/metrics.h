// SPDX-License-Identifier: Apache-2.0
// The aggregator's metrics: written by the loop, read by the metrics server's threads. Thread-safe.
#pragma once
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "aggregator/postgres/materialize.h"
#include "aggregator/sessions/batch.h"
#include "base/clock.h"

namespace huntd::aggregator {

// A cumulative histogram of seconds.
class SecondsHistogram {
 public:
  // REQUIRES: `bounds_s` is ascending.
  explicit SecondsHistogram(std::vector<double> bounds_s)
      : bounds_s_(std::move(bounds_s)), counts_(bounds_s_.size(), 0) {}
  void record(double seconds);
  // Appends the samples, without HELP and TYPE.
  void render(std::string& text, const char* name) const;

 private:
  std::vector<double> bounds_s_;
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  double sum_s_ = 0;
};

class Metrics {
 public:
  // Sums since the start. metric_table.h describes each.
  struct Totals {
    uint64_t records = 0;
    uint64_t bytes = 0;
    uint64_t new_events = 0;
    uint64_t duplicates = 0;
    uint64_t waiting = 0;
    uint64_t purged = 0;
    uint64_t dead_letters = 0;
    uint64_t rows = 0;
    uint64_t merges = 0;
    uint64_t merge_restarts = 0;
    uint64_t expired_rows = 0;
    uint64_t source_failures = 0;
    uint64_t postgres_failures = 0;
    uint64_t dead_letter_topic_failures = 0;
    uint64_t topic_recreated = 0;
    uint64_t events_missed = 0;
  };
  // How far the table is behind the source, as of the last tick.
  struct Lag {
    // Lower bound of the times of the events that are not in the table, since the Unix epoch; 0 if
    // there are none.
    int64_t oldest_ms = 0;
    uint64_t events = 0;  // known to be in the source and not in the table
    // The age of oldest_ms now, so that it also grows during a tick. 0 if there are no events.
    double seconds() const;
  };

  // What LagWatch has counted. What is empty could not be counted.
  struct Counted {
    std::optional<uint64_t> topic_events;  // not acknowledged by the group; empty without Kafka
    std::optional<uint64_t> outbox_events;
    // Lower bound of how long the oldest of them has waited; 0 if there are none.
    double oldest_age_s = 0;
    std::string unknown;  // why something could not be counted
  };

  // Counts a committed merge. `oldest_age_s` is the age of the batch's oldest event at the commit;
  // negative if the batch has no event.
  void merged(const Batch& batch, const MergeCounts& counts, double duration_s,
              double oldest_age_s);
  void source_failed();
  void postgres_failed();
  void dead_letter_topic_failed();
  void rows_expired(uint64_t rows);
  // Counts dead letters that the topic has acknowledged.
  void dead_letters_delivered(uint64_t records);
  // Whether the last request to each peer succeeded.
  struct Up {
    bool source = false;
    bool postgres = false;
    bool dead_letter_topic = true;
    bool outbox_watched = true;   // Source::watched()
    std::string source_reason;    // why the source is not up, half a sentence; may be empty
    std::string postgres_reason;  // why PostgreSQL is not up; may be empty
  };
  // Called whenever the loop runs, also while it waits for a peer.
  void note_alive();
  // Called at the end of every tick of the loop.
  void ticked(Lag lag, Up up);

  // Sums since the start, by the source.
  void source_changed(uint64_t topic_recreated, uint64_t events_missed);
  // `with_topic`: the events go through Kafka. Called before anything else.
  void count_lag_of(bool with_topic);
  // Whether the loop itself knows the length of the outbox, because it reads it.
  bool loop_counts_outbox() const;
  // Called by the thread of LagWatch.
  void counted(Counted counted);

  Totals totals() const;
  Lag lag() const;
  // Returns Prometheus text (exposition format 0.0.4).
  std::string render() const;
  // Returns why a restart would help: note_alive() has not been called for too long. Empty if it
  // would not. `now_ms` is monotonic.
  std::string stuck(int64_t now_ms) const;
  // Returns why the aggregator is not healthy; empty if it is.
  std::string unhealthy() const;

 private:
  bool loop_counts() const;  // REQUIRES: mutex_ is locked, as for the next ones
  bool counted_lately() const;
  bool topic_known() const;
  bool outbox_known() const;
  uint64_t lag_events() const;
  double lag_seconds() const;

  mutable std::mutex mutex_;
  Totals totals_;
  Lag lag_;
  Up up_;
  Counted counted_;
  bool with_topic_ = false;
  int64_t counted_at_ms_ = 0;
  int64_t tick_at_ms_ = 0;
  int64_t alive_at_ms_ = monotonic_ms();
  int64_t newest_merged_ms_ = 0;
  SecondsHistogram merge_duration_{
      {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}};
  SecondsHistogram merged_age_{{0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 3600}};
};

}  // namespace huntd::aggregator
