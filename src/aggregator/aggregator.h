// The aggregator's loop: read → fold → merge into Postgres → dead records into their topic →
// acknowledge. Each peer that fails is tried again with a back-off while the other goes on; what
// was read and not merged stays in memory, what was merged and not acknowledged comes again and
// changes nothing.
#pragma once
#include <csignal>
#include <cstdint>
#include <memory>

#include "aggregator/backoff.h"
#include "aggregator/dead_topic.h"
#include "aggregator/fold.h"
#include "aggregator/metrics.h"
#include "aggregator/pg_link.h"
#include "aggregator/retention.h"
#include "aggregator/source.h"
#include "base/config.h"

namespace huntd {

class Aggregator {
 public:
  // `metrics` and `stop` (set by a signal handler) must outlive it.
  Aggregator(const Config& config, Metrics& metrics, const volatile std::sig_atomic_t& stop);

  // Runs until `stop`, then merges what it holds (one try) and returns.
  void run();
  // Reads what is there now, merges it and returns. A peer that fails is an error.
  Result<void> run_once();

 private:
  Result<void> read(uint32_t timeout_ms);
  Result<void> merge();
  // Of what was merged: delivers the dead records and acknowledges the rest to the source, so that
  // nothing passes that is nowhere.
  Result<void> settle();
  // When the next merge is due, by the steady clock; 0: now, INT64_MAX: there is nothing to merge.
  int64_t merge_at_ms() const;
  void forget_old_rows();
  Metrics::Lag lag() const;
  void turn_done();
  void feed_watchdog();
  void report_progress();
  void last_report();
  void pause_until_next_step();

  const Config& config_;
  Metrics& metrics_;
  const volatile std::sig_atomic_t& stop_;
  std::unique_ptr<Source> source_;
  PgLink postgres_;
  std::unique_ptr<DeadTopic> dead_topic_;  // null without Kafka: then they go into the table
  Fold fold_;
  // Merged, and not settled: nothing more is read until it is.
  bool unsettled_ = false;
  std::vector<DeadRecord> undelivered_;
  Retention retention_;
  bool schema_ready_ = false;
  int64_t first_unmerged_at_ms_ = 0;  // when the fold's first record came
  Backoff source_backoff_;
  Backoff postgres_backoff_;
  Backoff dead_backoff_;
  uint64_t watchdog_interval_ms_;
  int64_t watchdog_fed_at_ms_ = 0;
  bool ready_sent_ = false;
  bool terminal_;
  int64_t reported_at_ms_ = 0;
  Metrics::Totals reported_;
};

}  // namespace huntd
