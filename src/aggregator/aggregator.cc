// SPDX-License-Identifier: Apache-2.0
#include "aggregator/aggregator.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "aggregator/postgres/materialize.h"
#include "aggregator/postgres/schema.h"
#include "aggregator/source/source_cluster.h"
#include "aggregator/source/source_kafka.h"
#include "aggregator/source/source_outbox.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sd_notify.h"

namespace huntd::aggregator {
namespace {

constexpr uint32_t read_wait_max_ms = 200;            // bounds the time until a signal is handled
constexpr size_t status_bytes_max = 240;              // of a reason in STATUS= of systemd
constexpr int64_t report_interval_ms = 5'000;         // of progress lines in the log
constexpr int64_t terminal_report_interval_ms = 500;  // of the progress line on a terminal
constexpr const char* undefined_table = "42P01";      // SQLSTATE
constexpr const char* undefined_column = "42703";     // SQLSTATE

std::unique_ptr<Source> open_source(const Config& config) {
  if (config.kafka.bootstrap.empty() && config.redis.cluster)
    return std::make_unique<ClusterSource>(config);
  if (config.kafka.bootstrap.empty()) return std::make_unique<OutboxSource>(config);
  return std::make_unique<KafkaSource>(config);
}

}  // namespace

Aggregator::Aggregator(const Config& config, Metrics& metrics,
                       const volatile std::sig_atomic_t& stop)
    : config_(config),
      metrics_(metrics),
      stop_(stop),
      source_(open_source(config)),
      postgres_(config.aggregator.postgres, config.aggregator.schema),
      merge_pace_(config.aggregator.merge_bytes, config.aggregator.merge_timeout_s * 1000LL),
      dead_letter_topic_(
          config.kafka.bootstrap.empty() ? nullptr : std::make_unique<DeadLetterTopic>(config)),
      retention_(config.aggregator.retention_days),
      watchdog_interval_ms_(systemd::watchdog_interval_us() / 1000),
      terminal_(isatty(STDERR_FILENO) == 1) {
  postgres_.on_wait([this] { on_wait(); });
  postgres_.set_statement_timeout_ms(config.aggregator.merge_timeout_s * 1000);
  if (dead_letter_topic_) dead_letter_topic_->on_wait([this] { on_wait(); });
  metrics_.count_lag_of(!config.kafka.bootstrap.empty());
}

void Aggregator::feed_watchdog() {
  metrics_.note_alive();
  int64_t const now_ms = monotonic_ms();
  if (watchdog_interval_ms_ == 0 ||
      now_ms - watchdog_fed_at_ms_ < static_cast<int64_t>(watchdog_interval_ms_ / 2))
    return;
  systemd::notify("WATCHDOG=1");
  watchdog_fed_at_ms_ = now_ms;
}

void Aggregator::on_wait() {
  feed_watchdog();
  static_cast<void>(source_->idle(0));  // the next read() reports what is wrong
}

Result<void> Aggregator::read(uint32_t timeout_ms) {
  bool const was_empty = batch_.empty();
  Result<void> done = source_->read(batch_, timeout_ms);
  if (was_empty && !batch_.empty()) first_unmerged_at_ms_ = monotonic_ms();
  if (done)
    source_succeeded();
  else
    source_failed(done.error());
  return done;
}

void Aggregator::source_succeeded() {
  if (source_backoff_.failing())
    log::notice("source is available again", {{"source", source_->name()}});
  source_backoff_.succeeded();
}

void Aggregator::source_failed(const Error& error) {
  metrics_.source_failed();
  if (source_causes_.note(error.message, !source_backoff_.failing()))
    log::error("source failed, retrying with back-off",
               {{"source", source_->name()}, {"error", error.message}});
  source_backoff_.failed(monotonic_ms());
}

Result<void> Aggregator::prepare_postgres() {
  if (Result<void> connected = postgres_.connect(); !connected) return connected;
  if (schema_ready_) return {};
  Result<int> migrated =
      migrate_schema(postgres_, {config_.aggregator.writer_role, config_.aggregator.reader_role});
  if (!migrated) return migrated.error();
  if (*migrated > 0)
    log::notice("schema migrated", {{"migrations", *migrated}, {"version", schema_version()}});
  schema_ready_ = true;
  return {};
}

Result<void> Aggregator::merge_batch() {
  if (Result<void> prepared = prepare_postgres(); !prepared) return prepared;
  if (batch_.empty()) return {};
  int64_t const started_at_ms = monotonic_ms();
  Result<Merged> merged = materialize(
      postgres_, batch_, source_->name(),
      dead_letter_topic_ ? DeadLetterTarget::caller : DeadLetterTarget::table, merge_pace_);
  if (!merged) {
    // A table was dropped, or an older database was restored: check the schema again, instead of
    // failing forever.
    if (postgres_.sqlstate() == undefined_table || postgres_.sqlstate() == undefined_column)
      schema_ready_ = false;
    return merged.error();
  }
  if (merged->counts.rows_lowered > 0) retention_.rows_were_lowered();
  report_merge(*merged, started_at_ms);
  if (dead_letter_topic_) {
    dead_letters_ = batch_.dead_letters();
    dead_letters_.insert(dead_letters_.end(), merged->dead_letters.begin(),
                         merged->dead_letters.end());
  }
  batch_.clear();
  unacknowledged_ = true;
  return {};
}

void Aggregator::report_merge(const Merged& merged, int64_t started_at_ms) {
  double const duration_s = static_cast<double>(monotonic_ms() - started_at_ms) / 1000.0;
  double const oldest_age_s =
      batch_.newest_ms() == 0
          ? -1.0
          : std::max(0.0, static_cast<double>(wall_ms() - batch_.oldest_ms()) / 1000.0);
  metrics_.merged(batch_, merged.counts, duration_s, oldest_age_s);
  if (dead_letter_topic_) return;
  for (const DeadLetter& letter : batch_.dead_letters())
    log::warning("record dead-lettered", {{"table", "loot_events_dead"},
                                          {"source", source_->name()},
                                          {"partition", letter.partition},
                                          {"position", letter.position},
                                          {"reason", letter.reason}});
}

Result<void> Aggregator::merge() {
  Result<void> done = merge_batch();
  if (done) {
    if (postgres_backoff_.failing()) log::notice("postgres is available again");
    postgres_backoff_.succeeded();
    return {};
  }
  metrics_.postgres_failed();
  if (postgres_causes_.note(done.error().message, !postgres_backoff_.failing()))
    log::error("merge failed, retrying with back-off", {{"error", done.error().message}});
  postgres_backoff_.failed(monotonic_ms());
  return done;
}

Result<void> Aggregator::deliver_dead_letters() {
  if (dead_letters_.empty()) return {};
  uint64_t count = 0;
  Result<void> delivered = dead_letter_topic_->deliver(dead_letters_, &count);
  metrics_.dead_letters_delivered(count);
  if (delivered) {
    if (dead_letter_backoff_.failing())
      log::notice("dead-letter topic is writable again", {{"topic", dead_letter_topic_->name()}});
    dead_letter_backoff_.succeeded();
    return {};
  }
  metrics_.dead_letter_topic_failed();
  if (!dead_letter_backoff_.failing())
    log::error("dead letters cannot be written, reading is paused, retrying with back-off",
               {{"records", dead_letters_.size()}, {"error", delivered.error().message}});
  dead_letter_backoff_.failed(monotonic_ms());
  return delivered;
}

Result<void> Aggregator::acknowledge() {
  if (!unacknowledged_) return {};
  if (Result<void> delivered = deliver_dead_letters(); !delivered) return delivered;
  unacknowledged_ = false;
  if (Result<void> acknowledged = source_->acknowledge(); !acknowledged)
    log::warning("acknowledging merged events failed, they are read again and change nothing",
                 {{"source", source_->name()}, {"error", acknowledged.error().message}});
  return {};
}

// Deletes one page, or looks for leaders, and only if no event waits for PostgreSQL.
void Aggregator::delete_expired_rows() {
  if (!schema_ready_ || unacknowledged_ || !batch_.empty()) return;
  int64_t const now_ms = monotonic_ms();
  if (!postgres_backoff_.due(now_ms) || !retention_.due(now_ms)) return;
  if (Result<void> connected = postgres_.connect(); !connected) return;  // the next merge logs it
  Result<uint64_t> deleted = retention_.step(postgres_, wall_ms(), now_ms);
  if (deleted) {
    metrics_.rows_expired(*deleted);
    if (*deleted > 0) log::info("expired rows deleted", {{"rows", *deleted}});
    return;
  }
  metrics_.postgres_failed();
  log::error("deleting expired rows failed, retrying within an hour",
             {{"error", deleted.error().message}});
}

int64_t Aggregator::merge_at_ms() const {
  constexpr int64_t now = 0;
  // A lost connection is made again also if there is nothing to merge: only so is it known that
  // PostgreSQL is available.
  if (!schema_ready_ || batch_.full() || !postgres_.connected()) return now;
  if (batch_.empty()) return INT64_MAX;
  int64_t const interval_ms = config_.aggregator.interval_s * 1000LL;
  // While catching up, few large merges are fastest.
  if (source_->unread().events >= limits::catch_up_events_min)
    return first_unmerged_at_ms_ + std::max(interval_ms, limits::catch_up_merge_ms);
  bool const late = wall_ms() - batch_.newest_ms() > interval_ms;
  return late && source_->caught_up() ? now : first_unmerged_at_ms_ + interval_ms;
}

int64_t Aggregator::merge_due_at_ms() const {
  return std::max(merge_at_ms(), postgres_backoff_.retry_at_ms());
}

// While PostgreSQL fails, what has been read is enough to try again with. The source keeps the rest.
bool Aggregator::may_read() const {
  return !unacknowledged_ && !batch_.full() && (batch_.empty() || !postgres_backoff_.failing());
}

Metrics::Lag Aggregator::lag() const {
  Metrics::Lag lag{.events = source_->lag_events()};
  if (batch_.newest_ms() != 0)
    lag.oldest_ms = batch_.oldest_ms();
  else
    lag.oldest_ms = source_->unread().oldest_ms;
  return lag;
}

void Aggregator::end_tick() {
  int64_t const now_ms = monotonic_ms();
  std::string source_reason = source_->trouble();
  if (source_reason.empty() && source_backoff_.failing()) source_reason = source_causes_.last();
  metrics_.ticked(lag(),
                  {.source = !source_backoff_.failing() && source_->connected(),
                   .postgres = !postgres_backoff_.failing() && schema_ready_,
                   .dead_letter_topic = !dead_letter_backoff_.failing(),
                   .outbox_watched = source_->watched(),
                   .source_reason = std::move(source_reason),
                   .postgres_reason = postgres_backoff_.failing() ? postgres_causes_.last() : ""});
  Source::Changes const changes = source_->changes();
  metrics_.source_changed(changes.topic_recreated, changes.events_missed);
  if (!ready_sent_) {
    systemd::notify("READY=1");
    ready_sent_ = true;
  }
  feed_watchdog();
  log::flush(monotonic_ns());
  if (now_ms - reported_at_ms_ < (terminal_ ? terminal_report_interval_ms : report_interval_ms))
    return;
  report_progress();
  if (!terminal_) notify_status();
}

void Aggregator::report_progress() {
  reported_at_ms_ = monotonic_ms();
  Metrics::Totals const totals = metrics_.totals();
  Metrics::Lag const lag = metrics_.lag();
  if (totals.merges == reported_.merges && lag.events == 0) return;
  std::string const lag_s = fmt::format("{:.1f}", lag.seconds());
  if (terminal_) {
    std::string const line = fmt::format(
        "\r\033[K{} events, {} duplicates, {} dead letters, {} rows merged; lag {} events, {} s",
        totals.records, totals.duplicates, totals.dead_letters, totals.rows, lag.events, lag_s);
    log::print(line);
  } else {
    log::info("progress", {{"events", totals.records - reported_.records},
                           {"new", totals.new_events - reported_.new_events},
                           {"duplicates", totals.duplicates - reported_.duplicates},
                           {"dead_letters", totals.dead_letters - reported_.dead_letters},
                           {"rows", totals.rows - reported_.rows},
                           {"merges", totals.merges - reported_.merges},
                           {"lag_events", lag.events},
                           {"lag_s", lag_s}});
  }
  reported_ = totals;
}

// `systemctl status` shows it.
void Aggregator::notify_status() {
  Metrics::Lag const lag = metrics_.lag();
  bool const failing = source_backoff_.failing() || postgres_backoff_.failing() ||
                       dead_letter_backoff_.failing();  // else it may be about to connect
  std::string trouble = failing ? metrics_.unhealthy() : "";
  if (!trouble.empty()) trouble = trouble.substr(0, status_bytes_max) + "; ";
  systemd::notify(fmt::format("STATUS={}{} events merged, lag {} events, {:.1f} s", trouble,
                              metrics_.totals().records, lag.events, lag.seconds()));
}

void Aggregator::report_last_progress() {
  report_progress();
  if (!terminal_) return;
  log::print("\n");
}

void Aggregator::pause_until_next_step() {
  int64_t const now_ms = monotonic_ms();
  int64_t wake_at_ms = now_ms + read_wait_max_ms;
  for (const Backoff* backoff : {&source_backoff_, &postgres_backoff_, &dead_letter_backoff_})
    if (backoff->retry_at_ms() > now_ms) wake_at_ms = std::min(wake_at_ms, backoff->retry_at_ms());
  auto const wait_ms = static_cast<uint32_t>(wake_at_ms - now_ms);
  if (!source_backoff_.due(now_ms)) {
    static_cast<void>(source_->idle(0));
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
    return;
  }
  Result<bool> available = source_->idle(wait_ms);
  if (!available)
    source_failed(available.error());
  else if (*available)
    source_succeeded();
}

// The steps log their own failures, and the back-offs decide when each is due again. A step that
// waits, waits for the next one at most.
bool Aggregator::tick() {
  bool acted = false;
  postgres_.notice_closed();
  int64_t now_ms = monotonic_ms();
  if (unacknowledged_) {
    if (dead_letter_backoff_.due(now_ms)) acted = static_cast<bool>(acknowledge());
  } else if (may_read() && source_backoff_.due(now_ms)) {
    int64_t const wait_ms = std::clamp<int64_t>(merge_due_at_ms() - now_ms, 0, read_wait_max_ms);
    acted = static_cast<bool>(read(static_cast<uint32_t>(wait_ms)));
    now_ms = monotonic_ms();
  }
  if (!unacknowledged_ && now_ms >= merge_due_at_ms()) {
    end_tick();  // a merge may take long, so report before it
    if (merge()) {
      acted = true;
      if (dead_letter_backoff_.due(now_ms)) acted = static_cast<bool>(acknowledge());
    }
  }
  delete_expired_rows();
  end_tick();
  return acted;
}

void Aggregator::stop() {
  systemd::notify("STOPPING=1");
  if (!batch_.empty() && !merge())
    log::warning("stopped before merging, the events are read again at the next start",
                 {{"events", batch_.records()}});
  if (!acknowledge())
    log::warning("stopped before writing dead letters, they are read again at the next start",
                 {{"records", dead_letters_.size()}});
  end_tick();
  report_last_progress();
}

void Aggregator::run() {
  lag_watch_.emplace(config_, metrics_);
  while (stop_ == 0)
    if (!tick()) pause_until_next_step();
  stop();
  lag_watch_.reset();
}

Result<void> Aggregator::run_once() {
  if (Result<void> prepared = merge(); !prepared) return prepared;
  source_->be_patient();
  while (stop_ == 0) {
    if (Result<void> done = read(read_wait_max_ms); !done) return done;
    bool const caught_up = source_->caught_up();
    if (batch_.full() || caught_up)
      if (Result<void> done = merge(); !done) return done;
    if (Result<void> done = acknowledge(); !done) return done;
    end_tick();
    if (caught_up) break;
  }
  report_last_progress();
  return {};
}

}  // namespace huntd::aggregator
