#include "reconcile/reconcile.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "aggregator/pg_link.h"
#include "aggregator/redis_client.h"
#include "base/clock.h"
#include "reconcile/kafka_books.h"
#include "reconcile/postgres_books.h"
#include "reconcile/redis_books.h"

namespace huntd {
namespace {

constexpr int64_t poll_first_ms = 100;
constexpr int64_t poll_max_ms = 2'000;

// In the order in which an event travels, which leaves one place only once the next has it: so no
// event can slip through between two readings. On a huntd at work later places may be ahead of what
// Redis said.
Result<Verdict> judge_once(const Config& config, RedisClient& redis, PgLink& postgres,
                           size_t differences_max) {
  Books books;
  if (Result<void> read = read_forgotten_before(postgres, books); !read) return read.error();
  if (Result<void> read = read_redis(redis, books); !read) return read.error();
  if (!config.kafka.bootstrap.empty())
    if (Result<void> read = read_kafka(config.kafka.bootstrap, config.kafka.topic, books); !read)
      return read.error();
  if (Result<void> read = read_postgres(postgres, books); !read) return read.error();
  return compare(books, differences_max);
}

}  // namespace

Result<Verdict> reconcile(const Config& config, const ReconcileOptions& options) {
  RedisClient redis(config.redis.address, config.redis.password_file, config.redis.database);
  PgLink postgres(config.aggregator.postgres);
  int64_t const until_ms = monotonic_ms() + options.wait_s * 1000LL;
  for (int64_t pause_ms = poll_first_ms;; pause_ms = std::min(2 * pause_ms, poll_max_ms)) {
    bool const last = monotonic_ms() >= until_ms;
    if (Result<void> connected = redis.connect(); !connected) return connected.error();
    Result<uint64_t> waiting = outbox_length(redis);
    if (!waiting) return waiting.error();
    // A whole reading is dear: while the outbox is not empty the answer is known.
    if (last || *waiting == 0) {
      Result<Verdict> verdict = judge_once(config, redis, postgres, options.differences_max);
      if (!verdict || last || verdict->settled()) return verdict;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
  }
}

}  // namespace huntd
