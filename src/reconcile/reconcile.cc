// SPDX-License-Identifier: Apache-2.0
#include "reconcile/reconcile.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "drivers/pg_link.h"
#include "drivers/redis_client.h"
#include "reconcile/kafka_snapshot.h"
#include "reconcile/postgres_snapshot.h"
#include "reconcile/redis_snapshot.h"

namespace huntd::reconcile {
namespace {

constexpr int64_t poll_first_ms = 100;
constexpr int64_t poll_max_ms = 2'000;

// How often what differs is read again after a pause, in which the aggregator merges what is in
// Kafka.
constexpr int readings_max = 3;
constexpr int64_t pause_max_ms = 10'000;

void sleep_ms(int64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

int64_t pause_of(const Config& config) {
  return std::min(2000 + 1000 * int64_t{config.aggregator.interval_s} / readings_max, pause_max_ms);
}

bool has_unreadable_records(const Snapshots& snapshots) {
  return std::any_of(snapshots.unreadable.begin(), snapshots.unreadable.end(),
                     [](const UnreadableRecord& record) { return record.place.has_value(); });
}

Result<void> read_again(const Config& config, RedisClient& redis, PgLink& postgres,
                        Comparison& comparison, Snapshots& snapshots) {
  std::vector<uint32_t> const sessions = comparison.doubtful();
  auto const known = static_cast<ptrdiff_t>(snapshots.unreadable.size());
  if (!sessions.empty()) {
    if (Result<void> rows = read_rows_again(postgres, sessions, snapshots); !rows) return rows;
    if (Result<void> held = read_held_again(redis, sessions, snapshots); !held) return held;
    comparison.check_again();
  }
  if (Result<void> supplies = read_supplies_again(redis, snapshots); !supplies) return supplies;
  // What is unreadable was unreadable before.
  snapshots.unreadable.erase(snapshots.unreadable.begin() + known, snapshots.unreadable.end());
  if (!has_unreadable_records(snapshots)) return {};
  return set_dead_letters_aside(config.kafka.bootstrap, config.kafka.topic, config.kafka.dead_topic,
                                snapshots);
}

// Reads again what differs: once at once, because the stores were read one after the other, and
// then, with `patient`, as long as the aggregator's next merges may settle it.
Result<void> settle(const Config& config, RedisClient& redis, PgLink& postgres, bool patient,
                    Comparison& comparison, Snapshots& snapshots) {
  if (Result<void> read = read_again(config, redis, postgres, comparison, snapshots); !read)
    return read;
  for (int i = 0; patient && i < readings_max; ++i) {
    if (!comparison.awaits_merge() && !has_unreadable_records(snapshots)) break;
    sleep_ms(pause_of(config));
    if (Result<void> read = read_again(config, redis, postgres, comparison, snapshots); !read)
      return read;
  }
  return {};
}

// Reads in the order in which an event moves. An event leaves a store only after the next store has
// it, so no event is missed between two reads. On a huntd under load, a store that is read later
// may be ahead of Redis.
Result<Report> check_once(const Config& config, RedisClient& redis, PgLink& postgres,
                          const ReconcileOptions& options) {
  Snapshots snapshots;
  if (Result<void> read = read_expired_before(postgres, snapshots); !read) return read.error();
  if (Result<void> read = read_redis(redis, snapshots); !read) return read.error();
  if (!config.kafka.bootstrap.empty())
    if (Result<void> read = read_kafka(config.kafka.bootstrap, config.kafka.topic, snapshots);
        !read)
      return read.error();
  if (Result<void> read = read_postgres(postgres, snapshots); !read) return read.error();
  Comparison comparison(snapshots, options.differences_max);
  comparison.check();
  bool const patient = options.wait_s == 0;
  Result<void> const settled = settle(config, redis, postgres, patient, comparison, snapshots);
  if (!settled) return settled.error();
  return comparison.report();
}

}  // namespace

Result<Report> reconcile(const Config& config, const ReconcileOptions& options) {
  RedisClient redis(config.redis.address, config.redis.password_file, config.redis.database);
  PgLink postgres(config.aggregator.postgres);
  int64_t const until_ms = monotonic_ms() + options.wait_s * 1000LL;
  for (int64_t pause_ms = poll_first_ms;; pause_ms = std::min(2 * pause_ms, poll_max_ms)) {
    bool const last = monotonic_ms() >= until_ms;
    if (Result<void> connected = redis.connect(); !connected) return connected.error();
    Result<uint64_t> entries = outbox_length(redis);
    if (!entries) return entries.error();
    // Reading everything is expensive, and while the outbox is not empty the report is not
    // complete.
    if (last || *entries == 0) {
      Result<Report> report = check_once(config, redis, postgres, options);
      if (!report || last || report->complete()) return report;
    }
    sleep_ms(pause_ms);
  }
}

}  // namespace huntd::reconcile
