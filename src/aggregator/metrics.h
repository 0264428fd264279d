// What the aggregator tells about itself: counters and histograms that the loop writes and the
// metrics server's threads read, as Prometheus text (exposition format 0.0.4).
#pragma once
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "aggregator/fold.h"
#include "aggregator/materialize.h"

namespace huntd {

// Counts of values up to each bound, in seconds.
class SecondsHistogram {
 public:
  // `bounds_s` ascending.
  explicit SecondsHistogram(std::vector<double> bounds_s)
      : bounds_s_(std::move(bounds_s)), counts_(bounds_s_.size(), 0) {}
  void record(double seconds);
  // Appends its samples, without HELP and TYPE.
  void render(std::string& text, const char* name) const;

 private:
  std::vector<double> bounds_s_;
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  double sum_s_ = 0;
};

class Metrics {
 public:
  // Sums since the start, for progress lines.
  struct Totals {
    uint64_t records = 0;     // read from the source
    uint64_t bytes = 0;       // their payloads
    uint64_t fresh = 0;       // events counted in hunt_session
    uint64_t duplicates = 0;  // events that were counted already
    uint64_t waiting = 0;     // events set down in hunt_session_waiting
    uint64_t dead = 0;        // records set down in loot_events_dead (table or topic)
    uint64_t rows = 0;        // rows of hunt_session inserted or updated
    uint64_t merges = 0;
    uint64_t merge_restarts = 0;
    uint64_t forgotten_rows = 0;  // deleted by aggregator.retention_days
    uint64_t source_failures = 0;
    uint64_t postgres_failures = 0;
    uint64_t dead_topic_failures = 0;
  };
  // How far behind the table is, as of the last turn of the loop.
  struct Lag {
    int64_t oldest_ms = 0;  // no event that is known and not in the table is older than this, since
                            // the epoch; 0 where there is none
    uint64_t events = 0;    // events known to be in the source and not in the table
    // The age of that time now, so that it grows while a merge or a peer keeps the loop.
    double seconds() const;
  };

  // `oldest_age_s`: of the batch's oldest event, when its transaction was committed; negative for
  // none.
  void merged(const Fold& fold, const MergeCounts& counts, double duration_s, double oldest_age_s);
  void source_failed();
  void postgres_failed();
  void dead_topic_failed();
  void forgot(uint64_t rows);
  // So many records are in the dead topic for good.
  void buried(uint64_t records);
  // Which peers answered last; true where nothing was asked of one yet.
  struct Up {
    bool source = false;
    bool postgres = false;
    bool dead_topic = true;
  };
  // Called every turn of the loop.
  void turned(Lag lag, Up up);

  Totals totals() const;
  Lag lag() const;
  std::string render() const;
  // Empty where all is well; otherwise what is not.
  std::string unhealthy() const;

 private:
  mutable std::mutex mutex_;
  Totals totals_;
  Lag lag_;
  Up up_;
  int64_t turned_at_ms_ = 0;
  int64_t newest_merged_ms_ = 0;
  SecondsHistogram merge_duration_{
      {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}};
  SecondsHistogram merged_age_{{0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 3600}};
};

}  // namespace huntd
