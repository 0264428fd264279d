#include "aggregator/metrics.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"

namespace huntd {
namespace {

// A loop that has not turned for this long is stuck, unless one merge takes so long.
constexpr int64_t stuck_after_ms = 120'000;

void family(std::string& text, const char* name, const char* type, const char* help) {
  fmt::format_to(std::back_inserter(text), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void counter(std::string& text, const char* name, uint64_t value, const char* help) {
  family(text, name, "counter", help);
  fmt::format_to(std::back_inserter(text), "{} {}\n", name, value);
}

void gauge(std::string& text, const char* name, double value, const char* help) {
  family(text, name, "gauge", help);
  fmt::format_to(std::back_inserter(text), "{} {}\n", name, value);
}

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

void Metrics::merged(const Fold& fold, const MergeCounts& counts, double duration_s,
                     double oldest_age_s) {
  std::lock_guard lock(mutex_);
  totals_.records += fold.records();
  totals_.bytes += fold.bytes();
  totals_.fresh += counts.fresh;
  totals_.duplicates += counts.duplicates + fold.duplicates();
  totals_.waiting += counts.waiting;
  totals_.dead += counts.dead;
  totals_.rows += counts.rows_inserted + counts.rows_updated;
  totals_.merges += 1;
  totals_.merge_restarts += counts.restarts;
  newest_merged_ms_ = std::max(newest_merged_ms_, fold.newest_ms());
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

void Metrics::dead_topic_failed() {
  std::lock_guard lock(mutex_);
  totals_.dead_topic_failures += 1;
}

void Metrics::forgot(uint64_t rows) {
  std::lock_guard lock(mutex_);
  totals_.forgotten_rows += rows;
}

void Metrics::buried(uint64_t records) {
  std::lock_guard lock(mutex_);
  totals_.dead += records;
}

double Metrics::Lag::seconds() const {
  if (oldest_ms == 0) return 0;
  return std::max(0.0, static_cast<double>(wall_ms() - oldest_ms) / 1000.0);
}

void Metrics::turned(Lag lag, Up up) {
  std::lock_guard lock(mutex_);
  lag_ = lag;
  up_ = up;
  turned_at_ms_ = monotonic_ms();
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
  counter(text, "hunt_aggregator_events_total", totals_.records,
          "Records read from the source and merged, repeated and unreadable ones included.");
  counter(text, "hunt_aggregator_bytes_total", totals_.bytes, "Payload bytes of those records.");
  counter(text, "hunt_aggregator_fresh_total", totals_.fresh,
          "Events counted in hunt_session for the first time.");
  counter(text, "hunt_aggregator_duplicates_total", totals_.duplicates,
          "Events that hunt_session had counted already.");
  counter(text, "hunt_aggregator_waiting_total", totals_.waiting,
          "Events set down in hunt_session_waiting, since their row has too many holes.");
  counter(text, "hunt_aggregator_dead_total", totals_.dead,
          "Records that can't be counted, set down in loot_events_dead.");
  counter(text, "hunt_aggregator_rows_merged_total", totals_.rows,
          "Rows of hunt_session inserted or updated.");
  counter(text, "hunt_aggregator_merge_restarts_total", totals_.merge_restarts,
          "Merges begun again because another aggregator inserted one of their rows.");
  counter(text, "hunt_aggregator_forgotten_rows_total", totals_.forgotten_rows,
          "Rows of hunt_session deleted since aggregator.retention_days had passed.");
  family(text, "hunt_aggregator_failures_total", "counter",
         "Times a peer failed to answer, or answered with an error.");
  fmt::format_to(std::back_inserter(text),
                 "hunt_aggregator_failures_total{{peer=\"source\"}} {}\n"
                 "hunt_aggregator_failures_total{{peer=\"postgres\"}} {}\n"
                 "hunt_aggregator_failures_total{{peer=\"dead_topic\"}} {}\n",
                 totals_.source_failures, totals_.postgres_failures, totals_.dead_topic_failures);
  gauge(text, "hunt_aggregator_lag_seconds", lag_.seconds(),
        "Age of the oldest event that is read and not in hunt_session; where all that was read is, "
        "how long the source has had events that were not read. 0 where there is neither.");
  gauge(text, "hunt_aggregator_lag_events", static_cast<double>(lag_.events),
        "Events known to be in the source and not in hunt_session.");
  gauge(text, "hunt_aggregator_newest_event_timestamp_seconds",
        static_cast<double>(newest_merged_ms_) / 1000.0,
        "Timestamp of the newest event merged since the start, 0 where there is none.");
  family(text, "hunt_aggregator_up", "gauge", "1 where the peer answered last time.");
  fmt::format_to(std::back_inserter(text),
                 "hunt_aggregator_up{{peer=\"source\"}} {}\n"
                 "hunt_aggregator_up{{peer=\"postgres\"}} {}\n"
                 "hunt_aggregator_up{{peer=\"dead_topic\"}} {}\n",
                 up_.source ? 1 : 0, up_.postgres ? 1 : 0, up_.dead_topic ? 1 : 0);
  family(text, "hunt_aggregator_merge_duration_seconds", "histogram",
         "Time of one merge, from its BEGIN to its COMMIT.");
  merge_duration_.render(text, "hunt_aggregator_merge_duration_seconds");
  family(
      text, "hunt_aggregator_merged_age_seconds", "histogram",
      "Age of each merge's oldest event at its COMMIT: the lag that a reader of the table sees.");
  merged_age_.render(text, "hunt_aggregator_merged_age_seconds");
  return text;
}

std::string Metrics::unhealthy() const {
  std::lock_guard lock(mutex_);
  if (turned_at_ms_ == 0) return "starting";
  if (monotonic_ms() - turned_at_ms_ > stuck_after_ms) return "the loop is stuck";
  if (!up_.source) return "the source of events does not answer";
  if (!up_.postgres) return "postgres does not answer";
  if (!up_.dead_topic) return "the topic of dead records can't be written, so nothing goes on";
  return "";
}

}  // namespace huntd
