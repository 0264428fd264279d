#include "aggregator/aggregator.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "aggregator/materialize.h"
#include "aggregator/schema.h"
#include "aggregator/source_kafka.h"
#include "aggregator/source_outbox.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sd_notify.h"

namespace huntd {
namespace {

constexpr uint32_t read_wait_max_ms = 200;         // so that a signal is seen soon
constexpr int64_t report_every_ms = 5'000;         // a progress line
constexpr int64_t terminal_report_every_ms = 500;  // the line that a terminal shows

std::unique_ptr<Source> open_source(const Config& config) {
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
      postgres_(config.aggregator.postgres),
      dead_topic_(config.kafka.bootstrap.empty() ? nullptr : std::make_unique<DeadTopic>(config)),
      retention_(config.aggregator.retention_days),
      watchdog_interval_ms_(systemd::watchdog_interval_us() / 1000),
      terminal_(isatty(STDERR_FILENO) == 1) {
  postgres_.on_wait([this] { feed_watchdog(); });
  if (dead_topic_) dead_topic_->on_wait([this] { feed_watchdog(); });
}

void Aggregator::feed_watchdog() {
  int64_t const now_ms = monotonic_ms();
  if (watchdog_interval_ms_ == 0 ||
      now_ms - watchdog_fed_at_ms_ < static_cast<int64_t>(watchdog_interval_ms_ / 2))
    return;
  systemd::notify("WATCHDOG=1");
  watchdog_fed_at_ms_ = now_ms;
}

Result<void> Aggregator::read(uint32_t timeout_ms) {
  bool const was_empty = fold_.empty();
  Result<void> done = source_->read(fold_, timeout_ms);
  if (was_empty && !fold_.empty()) first_unmerged_at_ms_ = monotonic_ms();
  if (done) {
    if (!source_backoff_.first())
      log::notice("source answers again", {{"source", source_->name()}});
    source_backoff_.succeeded();
    return {};
  }
  metrics_.source_failed();
  if (source_backoff_.first())
    log::error("source failed, trying again with a back-off",
               {{"source", source_->name()}, {"error", done.error().message}});
  source_backoff_.failed(monotonic_ms());
  return done;
}

Result<void> Aggregator::merge() {
  auto step = [this]() -> Result<void> {
    if (Result<void> connected = postgres_.connect(); !connected) return connected;
    if (!schema_ready_) {
      Result<int> migrated = migrate_schema(postgres_);
      if (!migrated) return migrated.error();
      if (*migrated > 0)
        log::notice("schema migrated", {{"migrations", *migrated}, {"version", schema_version()}});
      schema_ready_ = true;
    }
    if (fold_.empty()) return {};
    int64_t const begun_at_ms = monotonic_ms();
    Result<Merged> merged = materialize(postgres_, fold_, source_->name(),
                                        dead_topic_ ? DeadGoTo::caller : DeadGoTo::table);
    if (!merged) {
      // 42P01: a table is gone. Look at the schema again rather than fail for ever.
      if (postgres_.sqlstate() == "42P01") schema_ready_ = false;
      return merged.error();
    }
    double const duration_s = static_cast<double>(monotonic_ms() - begun_at_ms) / 1000.0;
    double const oldest_age_s =
        fold_.newest_ms() == 0
            ? -1.0
            : std::max(0.0, static_cast<double>(wall_ms() - fold_.oldest_ms()) / 1000.0);
    metrics_.merged(fold_, merged->counts, duration_s, oldest_age_s);
    if (dead_topic_) {
      undelivered_ = fold_.dead();
      undelivered_.insert(undelivered_.end(), merged->unplaced.begin(), merged->unplaced.end());
    } else {
      for (const DeadRecord& record : fold_.dead())
        log::warning("record set aside in loot_events_dead", {{"source", source_->name()},
                                                              {"partition", record.partition},
                                                              {"position", record.position},
                                                              {"reason", record.reason}});
    }
    fold_.clear();
    unsettled_ = true;
    return {};
  };
  Result<void> done = step();
  if (done) {
    if (!postgres_backoff_.first()) log::notice("postgres answers again");
    postgres_backoff_.succeeded();
    return {};
  }
  metrics_.postgres_failed();
  if (postgres_backoff_.first())
    log::error("merge failed, trying again with a back-off", {{"error", done.error().message}});
  postgres_backoff_.failed(monotonic_ms());
  return done;
}

Result<void> Aggregator::settle() {
  if (!unsettled_) return {};
  if (!undelivered_.empty()) {
    uint64_t delivered_count = 0;
    Result<void> delivered = dead_topic_->deliver(undelivered_, &delivered_count);
    metrics_.buried(delivered_count);
    if (!delivered) {
      metrics_.dead_topic_failed();
      if (dead_backoff_.first())
        log::error(
            "dead records can't be set aside: nothing more is read until they can, trying "
            "again with a back-off",
            {{"records", undelivered_.size()}, {"error", delivered.error().message}});
      dead_backoff_.failed(monotonic_ms());
      return delivered;
    }
    if (!dead_backoff_.first())
      log::notice("dead records are set aside again", {{"topic", dead_topic_->name()}});
    dead_backoff_.succeeded();
  }
  unsettled_ = false;
  if (Result<void> acknowledged = source_->acknowledge(); !acknowledged)
    log::warning("merged, but not acknowledged: these events come again and change nothing",
                 {{"source", source_->name()}, {"error", acknowledged.error().message}});
  return {};
}

// One page, and only where no event waits for Postgres.
void Aggregator::forget_old_rows() {
  if (!schema_ready_ || unsettled_ || !fold_.empty()) return;
  int64_t const now_ms = monotonic_ms();
  if (!postgres_backoff_.due(now_ms) || !retention_.due(now_ms)) return;
  if (Result<void> connected = postgres_.connect(); !connected) return;  // the next merge tells
  Result<uint64_t> forgotten = retention_.step(postgres_, wall_ms(), now_ms);
  if (forgotten) {
    metrics_.forgot(*forgotten);
    if (*forgotten > 0) log::info("old rows deleted", {{"rows", *forgotten}});
    return;
  }
  metrics_.postgres_failed();
  log::error("old rows can't be deleted, trying again within an hour",
             {{"error", forgotten.error().message}});
}

int64_t Aggregator::merge_at_ms() const {
  constexpr int64_t now = 0;
  if (!schema_ready_ || fold_.full()) return now;
  if (fold_.empty()) return INT64_MAX;
  int64_t const interval_ms = config_.aggregator.interval_s * 1000LL;
  // Catching up: the fastest way is few large merges, and the last one waits for nothing.
  if (source_->unread().events >= limits::catch_up_events_min)
    return first_unmerged_at_ms_ + std::max(interval_ms, limits::catch_up_merge_ms);
  bool const late = wall_ms() - fold_.newest_ms() > interval_ms;
  return late && source_->drained() ? now : first_unmerged_at_ms_ + interval_ms;
}

Metrics::Lag Aggregator::lag() const {
  Metrics::Lag lag{.events = source_->lag_events()};
  if (fold_.newest_ms() != 0)
    lag.oldest_ms = fold_.oldest_ms();
  else
    lag.oldest_ms = source_->unread().oldest_ms;
  return lag;
}

void Aggregator::turn_done() {
  int64_t const now_ms = monotonic_ms();
  metrics_.turned(lag(), {.source = source_backoff_.first() && source_->connected(),
                          .postgres = postgres_backoff_.first() && schema_ready_,
                          .dead_topic = dead_backoff_.first()});
  if (!ready_sent_) {
    systemd::notify("READY=1");
    ready_sent_ = true;
  }
  feed_watchdog();
  if (now_ms - reported_at_ms_ >= (terminal_ ? terminal_report_every_ms : report_every_ms))
    report_progress();
}

void Aggregator::report_progress() {
  reported_at_ms_ = monotonic_ms();
  Metrics::Totals const totals = metrics_.totals();
  Metrics::Lag const lag = metrics_.lag();
  if (totals.merges == reported_.merges && lag.events == 0) return;
  std::string const lag_s = fmt::format("{:.1f}", lag.seconds());
  if (terminal_) {
    std::string const line = fmt::format(
        "\r\033[K{} events, {} repeated, {} dead, {} rows merged; behind {} events, {} s",
        totals.records, totals.duplicates, totals.dead, totals.rows, lag.events, lag_s);
    [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  } else {
    log::info("progress", {{"events", totals.records - reported_.records},
                           {"fresh", totals.fresh - reported_.fresh},
                           {"duplicates", totals.duplicates - reported_.duplicates},
                           {"dead", totals.dead - reported_.dead},
                           {"rows", totals.rows - reported_.rows},
                           {"merges", totals.merges - reported_.merges},
                           {"lag_events", lag.events},
                           {"lag_s", lag_s}});
    systemd::notify(fmt::format("STATUS={} events merged, {} behind, lag {} s", totals.records,
                                lag.events, lag_s));
  }
  reported_ = totals;
}

void Aggregator::last_report() {
  report_progress();
  if (!terminal_) return;
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, "\n", 1);
}

void Aggregator::pause_until_next_step() {
  int64_t const now_ms = monotonic_ms();
  int64_t wake_at_ms = now_ms + read_wait_max_ms;
  for (const Backoff* backoff : {&source_backoff_, &postgres_backoff_, &dead_backoff_})
    if (backoff->retry_at_ms() > now_ms) wake_at_ms = std::min(wake_at_ms, backoff->retry_at_ms());
  std::this_thread::sleep_for(std::chrono::milliseconds(wake_at_ms - now_ms));
}

void Aggregator::run() {
  while (stop_ == 0) {
    int64_t now_ms = monotonic_ms();
    bool acted = false;
    if (unsettled_) {
      // The settling reports its failure itself.
      if (dead_backoff_.due(now_ms)) acted = static_cast<bool>(settle());
    } else if (!fold_.full() && source_backoff_.due(now_ms)) {
      int64_t wait_ms = read_wait_max_ms;
      if (!fold_.empty()) wait_ms = std::clamp<int64_t>(merge_at_ms() - now_ms, 0, wait_ms);
      // What the read reports it has logged, and the back-off decides when to read again.
      acted = static_cast<bool>(read(static_cast<uint32_t>(schema_ready_ ? wait_ms : 0)));
      now_ms = monotonic_ms();
    }
    if (!unsettled_ && now_ms >= merge_at_ms() && postgres_backoff_.due(now_ms)) {
      turn_done();  // a merge may take long: what it has before it is told first
      if (merge()) {
        acted = true;
        if (dead_backoff_.due(now_ms)) acted = static_cast<bool>(settle());
      }
    }
    forget_old_rows();
    turn_done();
    if (!acted) pause_until_next_step();
  }
  systemd::notify("STOPPING=1");
  if (!fold_.empty() && !merge())
    log::warning("stopped with events unmerged: they come again at the next start",
                 {{"events", fold_.records()}});
  if (!settle())
    log::warning(
        "stopped with dead records that are not set aside: they come again at the next "
        "start",
        {{"records", undelivered_.size()}});
  turn_done();
  last_report();
}

Result<void> Aggregator::run_once() {
  if (Result<void> prepared = merge(); !prepared) return prepared;
  while (stop_ == 0) {
    if (Result<void> done = read(read_wait_max_ms); !done) return done;
    bool const drained = source_->drained();
    if (fold_.full() || drained)
      if (Result<void> done = merge(); !done) return done;
    if (Result<void> done = settle(); !done) return done;
    turn_done();
    if (drained) break;
  }
  last_report();
  return {};
}

}  // namespace huntd
