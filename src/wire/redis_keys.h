// SPDX-License-Identifier: Apache-2.0
// The names of all Redis keys; no other file builds a Redis key (docs/formats/redis.md). A hunter's
// keys have the bucket as hash tag, so that one commit touches one slot of a Redis Cluster. Ids
// contain neither colon nor brace, so a Redis key can be split in one way only.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/pool.h"

namespace huntd::keys {

// Hash: loot_id -> count, and `seq_field` -> seq of the hunter's newest event in this hunt.
PoolString held(std::string_view hunter_id, std::string_view hunt_id);
// String: the stored result of a request. `key` is its Idempotency-Key or its request_id.
PoolString done(std::string_view hunter_id, std::string_view hunt_id, std::string_view key);
// Stream: committed events that are not acknowledged yet. An entry has the fields
// `outbox_key_field` (hunter_id) and `outbox_value_field` (the event's JSON, byte for byte as in
// Kafka).
PoolString outbox(uint32_t bucket);
// Hash: event_id -> state of one unit of a shared supply. Its hash tag is the supply, not a bucket.
PoolString supply(std::string_view hunt_id, std::string_view loot_id);
// Sorted set in the supply's slot: event_id -> time of the reservation (ms), for units that are
// neither settled nor released.
PoolString supply_pending(std::string_view hunt_id, std::string_view loot_id);
// String in the supply's slot: the limit in the latest reservation, in decimal.
PoolString supply_limit(std::string_view hunt_id, std::string_view loot_id);
// Set: "hunt_id:loot_id" of every supply that has had a reservation.
inline constexpr std::string_view supplies = "supplies";
// Hash: number -> secret of the seeds of hunt.random(). The highest number is in use.
inline constexpr std::string_view seed_secret = "seed_secret";

// The keys of a core's self-test, of each kind of key that scripts use, in the order held, done,
// outbox, supply, supply_pending, supply_limit. No hunter and no supply has their hash tag. A script
// creates and removes them in one step.
PoolVector<PoolString> probes(uint32_t core);

// '#' is not allowed in ids, so this cannot be a loot_id.
inline constexpr std::string_view seq_field = "#seq";
inline constexpr std::string_view outbox_key_field = "k";
inline constexpr std::string_view outbox_value_field = "v";

}  // namespace huntd::keys
