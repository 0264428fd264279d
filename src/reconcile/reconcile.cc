// SPDX-License-Identifier: Apache-2.0
#include "reconcile/reconcile.h"

#include <algorithm>
#include <chrono>
#include <thread>

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

// Reads in the order in which an event moves. An event leaves a store only after the next store has
// it, so no event is missed between two reads. On a huntd under load, a store that is read later
// may be ahead of Redis.
Result<Report> check_once(const Config& config, RedisClient& redis, PgLink& postgres,
                          size_t differences_max) {
  Snapshots snapshots;
  if (Result<void> read = read_expired_before(postgres, snapshots); !read) return read.error();
  if (Result<void> read = read_redis(redis, snapshots); !read) return read.error();
  if (!config.kafka.bootstrap.empty())
    if (Result<void> read = read_kafka(config.kafka.bootstrap, config.kafka.topic, snapshots);
        !read)
      return read.error();
  if (Result<void> read = read_postgres(postgres, snapshots); !read) return read.error();
  return compare(snapshots, differences_max);
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
      Result<Report> report = check_once(config, redis, postgres, options.differences_max);
      if (!report || last || report->complete()) return report;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
  }
}

}  // namespace huntd::reconcile
