// SPDX-License-Identifier: Apache-2.0
// The aggregator's loop: read records into a batch, merge the batch into PostgreSQL, write dead
// letters, acknowledge. Each peer that fails is retried with a back-off, and no step is repeated
// before it is due: the loop waits in the source. Records that are read and not merged stay in
// memory, and while PostgreSQL fails no more are read. Records that are merged and not acknowledged
// are read again and change nothing.
#pragma once
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "aggregator/lag_watch.h"
#include "aggregator/metrics.h"
#include "aggregator/postgres/merge_pace.h"
#include "aggregator/postgres/retention.h"
#include "aggregator/sessions/batch.h"
#include "aggregator/source/backoff.h"
#include "aggregator/source/dead_letter_topic.h"
#include "aggregator/source/source.h"
#include "config/config.h"
#include "drivers/pg_link.h"

namespace huntd::aggregator {

class Aggregator {
 public:
  // `config`, `metrics` and `stop` (set by a signal handler) must outlive the aggregator.
  Aggregator(const Config& config, Metrics& metrics, const volatile std::sig_atomic_t& stop);

  // Runs until `stop` is set, then tries once to merge and acknowledge the batch.
  void run();
  // Merges the records that exist now. Returns the error of the first peer that fails.
  Result<void> run_once();

 private:
  // One iteration of run(). Returns whether a peer was reached, so that the next tick need not
  // pause.
  bool tick();
  void stop();
  Result<void> read(uint32_t timeout_ms);
  void source_succeeded();
  void source_failed(const Error& error);
  bool may_read() const;
  Result<void> merge();
  Result<void> prepare_postgres();
  Result<void> merge_batch();
  void report_merge(const Merged& merged, int64_t started_at_ms);
  // Writes the dead letters of the last merge, then acknowledges its records to the source.
  Result<void> acknowledge();
  Result<void> deliver_dead_letters();
  // When the next merge is due, on the monotonic clock; 0: now; INT64_MAX: there is nothing to
  // merge.
  int64_t merge_at_ms() const;
  // The same, and not before PostgreSQL's back-off has passed.
  int64_t merge_due_at_ms() const;
  void delete_expired_rows();
  Metrics::Lag lag() const;
  void end_tick();
  void feed_watchdog();
  // Called while a peer works on a statement or a record.
  void on_wait();
  void report_progress();
  void notify_status();
  void report_last_progress();
  void pause_until_next_step();

  const Config& config_;
  Metrics& metrics_;
  const volatile std::sig_atomic_t& stop_;
  std::unique_ptr<Source> source_;
  PgLink postgres_;
  MergePace merge_pace_;
  std::unique_ptr<DeadLetterTopic> dead_letter_topic_;  // null without Kafka: the table is used
  Batch batch_;
  // A merge is committed and its records are not acknowledged. Nothing is read until they are.
  bool unacknowledged_ = false;
  std::vector<DeadLetter> dead_letters_;  // of that merge, not written to the topic yet
  Retention retention_;
  bool schema_ready_ = false;
  int64_t first_unmerged_at_ms_ = 0;  // when the batch's first record was read
  Backoff source_backoff_;
  Causes source_causes_;
  Backoff postgres_backoff_;
  Causes postgres_causes_;
  Backoff dead_letter_backoff_;
  uint64_t watchdog_interval_ms_;
  int64_t watchdog_fed_at_ms_ = 0;
  bool ready_sent_ = false;
  bool terminal_;
  int64_t reported_at_ms_ = 0;
  Metrics::Totals reported_;
  std::optional<LagWatch> lag_watch_;  // while run() runs
};

}  // namespace huntd::aggregator
