// Reads Redis for reconcile: what is held, the outbox, the supplies. Only reads, page by page
// (SCAN), so that a Redis under load is never held up for long.
#pragma once
#include "aggregator/redis_client.h"
#include "base/result.h"
#include "reconcile/books.h"

namespace huntd {

// How many entries all outbox streams hold together.
Result<uint64_t> outbox_length(RedisClient& redis);

// Fills held, the outbox's events and the supplies.
Result<void> read_redis(RedisClient& redis, Books& books);

}  // namespace huntd
