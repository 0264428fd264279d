// SPDX-License-Identifier: Apache-2.0
// Reads Redis for reconcile: held loot, outbox, supplies. It only reads, and in pages (SCAN), so
// that no command takes long.
#pragma once
#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"
#include "drivers/redis_client.h"
#include "reconcile/reading.h"

namespace huntd::reconcile {

using HandleEvent = std::function<void(const EventParts& event)>;

// Returns the number of entries in the outbox streams of the scope.
Result<uint64_t> outbox_length(RedisClient& redis, const Scope& scope);

// Adds the supplies, held loot, and the events of the outbox, in this order: the loot of a unit is
// held before the unit is given.
Result<void> read_redis(RedisClient& redis, const ReadSoFar& so_far, Reading& reading);
// Reads `held` of these sessions again (indexes in snapshots.sessions).
Result<void> read_held_again(RedisClient& redis, std::span<const uint32_t> sessions,
                             Snapshots& snapshots);
// Calls `handle` for each event in the outboxes of these sessions' buckets.
Result<void> read_outbox_again(RedisClient& redis, std::span<const uint32_t> sessions,
                               const Snapshots& snapshots, const HandleEvent& handle);
// Reads the supplies again that differ. If Redis has changed meanwhile, as by a purge, the
// difference is removed.
Result<void> read_supplies_again(RedisClient& redis, Supplies& supplies);
// Whether this entry is still in the outbox.
Result<bool> has_entry(RedisClient& redis, const RecordPlace& place);

}  // namespace huntd::reconcile
