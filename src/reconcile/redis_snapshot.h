// SPDX-License-Identifier: Apache-2.0
// Reads Redis for reconcile: held loot, outbox, supplies. It only reads, and in pages (SCAN), so
// that no command takes long.
#pragma once
#include <cstdint>
#include <span>

#include "base/result.h"
#include "drivers/redis_client.h"
#include "reconcile/snapshot.h"

namespace huntd::reconcile {

// Returns the number of entries in all outbox streams.
Result<uint64_t> outbox_length(RedisClient& redis);

// Adds the supplies, held loot, and the events of the outbox, in this order: the loot of a unit is
// held before the unit is given.
Result<void> read_redis(RedisClient& redis, Snapshots& snapshots);
// Reads `held` of these sessions again (indexes in snapshots.sessions).
Result<void> read_held_again(RedisClient& redis, std::span<const uint32_t> sessions,
                             Snapshots& snapshots);
// Reads the supplies again of which the table has counted more units than Redis had.
Result<void> read_supplies_again(RedisClient& redis, Snapshots& snapshots);

}  // namespace huntd::reconcile
