// SPDX-License-Identifier: Apache-2.0
#include "aggregator/metrics.h"

#include <fmt/format.h>

#include <algorithm>

#include "aggregator/metric_table.h"
#include "aggregator/sessions/aggregator_limits.h"
#include "base/clock.h"
#include "base/log.h"

namespace huntd::aggregator {
namespace {

// A tick that takes longer counts as stuck, also if it is one long merge.
constexpr int64_t stuck_after_ms = 120'000;
// What a tick says of the lag is used for this long; a merge takes longer.
constexpr int64_t tick_valid_ms = 2'000;
// The loop is alive if it runs, or waits for a peer: as for the watchdog of systemd.
constexpr int64_t alive_age_max_ms = 60'000;

void head(std::string& text, const Metric& metric) {
  fmt::format_to(std::back_inserter(text), "# HELP {} {}\n# TYPE {} {}\n", metric.name, metric.help,
                 metric.name, metric.type);
}

template <class Number>
void single(std::string& text, const Metric& metric, Number value) {
  head(text, metric);
  fmt::format_to(std::back_inserter(text), "{} {}\n", metric.name, value);
}

// One sample per peer.
void per_peer(std::string& text, const Metric& metric, uint64_t source, uint64_t postgres,
              uint64_t dead_letter_topic) {
  head(text, metric);
  auto const sample = [&](const char* peer, uint64_t value) {
    fmt::format_to(std::back_inserter(text), "{}{{peer=\"{}\"}} {}\n", metric.name, peer, value);
  };
  sample("source", source);
  sample("postgres", postgres);
  sample("dead_letter_topic", dead_letter_topic);
}

std::string with_reason(const char* what, std::string_view reason) {
  constexpr std::string_view peer = "postgres: ";  // `what` names it already
  if (reason.starts_with(peer)) reason.remove_prefix(peer.size());
  return reason.empty() ? what : fmt::format("{}: {}", what, reason);
}

// A metric of the table; a wrong name does not compile.
consteval const Metric& named(std::string_view name) { return find_metric(metric_table, name); }

}  // namespace

void SecondsHistogram::record(double seconds) {
  for (size_t i = 0; i < bounds_s_.size(); ++i)
    if (seconds <= bounds_s_[i]) counts_[i] += 1;
  count_ += 1;
  sum_s_ += seconds;
}

void SecondsHistogram::render(std::string& text, const char* name) const {
  auto out = std::back_inserter(text);
  for (size_t i = 0; i < bounds_s_.size(); ++i)
    fmt::format_to(out, "{}_bucket{{le=\"{}\"}} {}\n", name, bounds_s_[i], counts_[i]);
  fmt::format_to(out, "{}_bucket{{le=\"+Inf\"}} {}\n{}_sum {}\n{}_count {}\n", name, count_, name,
                 sum_s_, name, count_);
}

void Metrics::merged(const Batch& batch, const MergeCounts& counts, double duration_s,
                     double oldest_age_s) {
  std::lock_guard lock(mutex_);
  totals_.records += batch.records();
  totals_.bytes += batch.bytes();
  totals_.new_events += counts.new_events;
  totals_.duplicates += counts.duplicates + batch.duplicates();
  totals_.waiting += counts.waiting;
  totals_.purged += counts.purged;
  totals_.dead_letters += counts.dead_letters;
  totals_.rows += counts.rows_inserted + counts.rows_updated;
  totals_.merges += 1;
  totals_.merge_restarts += counts.restarts;
  newest_merged_ms_ = std::max(newest_merged_ms_, batch.newest_ms());
  merge_duration_.record(duration_s);
  if (oldest_age_s >= 0) merged_age_.record(oldest_age_s);
}

void Metrics::source_failed() {
  std::lock_guard lock(mutex_);
  totals_.source_failures += 1;
}

void Metrics::postgres_failed() {
  std::lock_guard lock(mutex_);
  totals_.postgres_failures += 1;
}

void Metrics::dead_letter_topic_failed() {
  std::lock_guard lock(mutex_);
  totals_.dead_letter_topic_failures += 1;
}

void Metrics::rows_expired(uint64_t rows) {
  std::lock_guard lock(mutex_);
  totals_.expired_rows += rows;
}

void Metrics::dead_letters_delivered(uint64_t records) {
  std::lock_guard lock(mutex_);
  totals_.dead_letters += records;
}

double Metrics::Lag::seconds() const {
  if (oldest_ms == 0) return 0;
  return std::max(0.0, static_cast<double>(wall_ms() - oldest_ms) / 1000.0);
}

void Metrics::source_changed(uint64_t topic_recreated, uint64_t events_missed) {
  std::lock_guard lock(mutex_);
  totals_.topic_recreated = topic_recreated;
  totals_.events_missed = events_missed;
}

void Metrics::count_lag_of(bool with_topic) {
  std::lock_guard lock(mutex_);
  with_topic_ = with_topic;
}

void Metrics::counted(Counted counted) {
  std::lock_guard lock(mutex_);
  counted_ = std::move(counted);
  counted_at_ms_ = monotonic_ms();
}

bool Metrics::counted_lately() const {
  return counted_at_ms_ != 0 && monotonic_ms() - counted_at_ms_ < limits::lag_stale_ms;
}

bool Metrics::topic_known() const {
  return !with_topic_ || (counted_lately() && counted_.topic_events);
}

bool Metrics::outbox_known() const {
  return loop_counts() || (counted_lately() && counted_.outbox_events);
}

bool Metrics::loop_counts() const {
  return !with_topic_ && up_.source && tick_at_ms_ != 0 &&
         monotonic_ms() - tick_at_ms_ < tick_valid_ms;
}

bool Metrics::loop_counts_outbox() const {
  std::lock_guard lock(mutex_);
  return loop_counts();
}

// Of what cannot be counted, the loop's own figure is taken: it is a lower bound.
uint64_t Metrics::lag_events() const {
  if (loop_counts() || !counted_lately()) return lag_.events;
  uint64_t const in_outbox = counted_.outbox_events.value_or(0);
  if (!with_topic_) return std::max(lag_.events, in_outbox);
  return counted_.topic_events.value_or(lag_.events) + in_outbox;
}

double Metrics::lag_seconds() const {
  double const counted_s = !loop_counts() && counted_lately() ? counted_.oldest_age_s : 0;
  return std::max(lag_.seconds(), counted_s);
}

void Metrics::ticked(Lag lag, Up up) {
  std::lock_guard lock(mutex_);
  lag_ = lag;
  up_ = std::move(up);
  tick_at_ms_ = monotonic_ms();
}

Metrics::Totals Metrics::totals() const {
  std::lock_guard lock(mutex_);
  return totals_;
}

Metrics::Lag Metrics::lag() const {
  std::lock_guard lock(mutex_);
  return lag_;
}

std::string Metrics::render() const {
  std::lock_guard lock(mutex_);
  std::string text;
  single(text, named("hunt_aggregator_events_total"), totals_.records);
  single(text, named("hunt_aggregator_bytes_total"), totals_.bytes);
  single(text, named("hunt_aggregator_new_total"), totals_.new_events);
  single(text, named("hunt_aggregator_duplicates_total"), totals_.duplicates);
  single(text, named("hunt_aggregator_waiting_total"), totals_.waiting);
  single(text, named("hunt_aggregator_events_purged_total"), totals_.purged);
  single(text, named("hunt_aggregator_dead_letters_total"), totals_.dead_letters);
  single(text, named("hunt_aggregator_rows_merged_total"), totals_.rows);
  single(text, named("hunt_aggregator_merge_restarts_total"), totals_.merge_restarts);
  single(text, named("hunt_aggregator_expired_rows_total"), totals_.expired_rows);
  per_peer(text, named("hunt_aggregator_failures_total"), totals_.source_failures,
           totals_.postgres_failures, totals_.dead_letter_topic_failures);
  single(text, named("hunt_aggregator_log_lines_dropped_total"), log::lines_dropped());
  single(text, named("hunt_aggregator_topic_recreated_total"), totals_.topic_recreated);
  single(text, named("hunt_aggregator_events_missed_total"), totals_.events_missed);
  single(text, named("hunt_aggregator_lag_seconds"), lag_seconds());
  single(text, named("hunt_aggregator_lag_events"), lag_events());
  head(text, named("hunt_aggregator_lag_known"));
  fmt::format_to(std::back_inserter(text),
                 "hunt_aggregator_lag_known{{part=\"topic\"}} {}\n"
                 "hunt_aggregator_lag_known{{part=\"outbox\"}} {}\n",
                 topic_known() ? 1 : 0, outbox_known() ? 1 : 0);
  single(text, named("hunt_aggregator_newest_event_timestamp_seconds"),
         static_cast<double>(newest_merged_ms_) / 1000.0);
  per_peer(text, named("hunt_aggregator_up"), up_.source ? 1 : 0, up_.postgres ? 1 : 0,
           up_.dead_letter_topic ? 1 : 0);
  single(text, named("hunt_aggregator_outbox_watched"), up_.outbox_watched ? 1 : 0);
  head(text, named("hunt_aggregator_merge_duration_seconds"));
  merge_duration_.render(text, "hunt_aggregator_merge_duration_seconds");
  head(text, named("hunt_aggregator_merged_age_seconds"));
  merged_age_.render(text, "hunt_aggregator_merged_age_seconds");
  return text;
}

void Metrics::note_alive() {
  std::lock_guard lock(mutex_);
  alive_at_ms_ = monotonic_ms();
}

std::string Metrics::stuck(int64_t now_ms) const {
  std::lock_guard lock(mutex_);
  int64_t const age_ms = now_ms - alive_at_ms_;
  if (age_ms <= alive_age_max_ms) return "";
  return fmt::format("the loop last ran {} ms ago", age_ms);
}

std::string Metrics::unhealthy() const {
  std::lock_guard lock(mutex_);
  if (tick_at_ms_ == 0) return "starting";
  if (monotonic_ms() - tick_at_ms_ > stuck_after_ms) return "the loop is stuck";
  if (!up_.source) return with_reason("the source of events is unavailable", up_.source_reason);
  if (!up_.postgres) return with_reason("postgres is unavailable", up_.postgres_reason);
  if (!up_.dead_letter_topic)
    return "the dead-letter topic cannot be written, so reading is paused";
  return "";
}

}  // namespace huntd::aggregator
