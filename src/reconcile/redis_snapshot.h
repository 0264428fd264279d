// SPDX-License-Identifier: Apache-2.0
// Reads Redis for reconcile: held loot, outbox, supplies. It only reads, and in pages (SCAN), so
// that no command takes long.
#pragma once
#include "base/result.h"
#include "drivers/redis_client.h"
#include "reconcile/snapshot.h"

namespace huntd::reconcile {

// Returns the number of entries in all outbox streams.
Result<uint64_t> outbox_length(RedisClient& redis);

// Adds held loot, the events of the outbox, and the supplies.
Result<void> read_redis(RedisClient& redis, Snapshots& snapshots);

}  // namespace huntd::reconcile
