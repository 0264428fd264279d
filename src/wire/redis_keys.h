// SPDX-License-Identifier: Apache-2.0
// The names of all Redis keys; no other file builds a Redis key (docs/formats/redis.md). A hunter's
// keys have the bucket as hash tag, so that one commit touches one slot of a Redis Cluster. Ids
// contain neither colon nor brace, so a Redis key can be split in one way only.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/pool.h"

namespace huntd::keys {

// Hash: loot_id -> count, and fields that begin with '#' (below).
PoolString held(std::string_view hunter_id, std::string_view hunt_id);
// String: the stored result of a request. `key` is its Idempotency-Key or its request_id.
PoolString done(std::string_view hunter_id, std::string_view hunt_id, std::string_view key);
// Stream: committed events that are not acknowledged yet. An entry has the fields
// `outbox_key_field` (hunter_id) and `outbox_value_field` (the event's JSON, byte for byte as in
// Kafka).
PoolString outbox(uint32_t bucket);
inline constexpr std::string_view outbox_prefix = "outbox:";  // of the names of all outboxes
// Hash: event_id -> state of one unit of a shared supply. Its hash tag is the supply, not a bucket.
PoolString supply(std::string_view hunt_id, std::string_view loot_id);
// Sorted set in the supply's slot: event_id -> time of the reservation (ms), for units that are
// neither settled nor released.
PoolString supply_pending(std::string_view hunt_id, std::string_view loot_id);
// String in the supply's slot: the limit in the latest reservation, in decimal.
PoolString supply_limit(std::string_view hunt_id, std::string_view loot_id);
// Set: the loot_id of each supply of this hunt that has had a reservation.
PoolString supplies_of(std::string_view hunt_id);
// Sorted set: "hunt_id:loot_id" -> time of the newest reservation (ms since the epoch, by the
// core's clock) of the supplies of a shard that may have pending units.
PoolString supplies_drawn(uint32_t shard);
inline constexpr uint32_t supply_drawn_shards = 64;
// `supply_name`: "hunt_id:loot_id".
uint32_t supply_shard(std::string_view supply_name);
// Set: "hunt_id:loot_id" of every supply of an older huntd. No longer written.
inline constexpr std::string_view supplies = "supplies";
// Hash: hunt_id -> HuntState (wire/generation.h). A hunt that it lacks is open.
inline constexpr std::string_view hunts = "hunts";
// Hash: number -> secret of the seeds of hunt.random(). The highest number is in use.
inline constexpr std::string_view seed_secret = "seed_secret";

// The keys of a core's self-test, of each kind of key that scripts use, in the order held, done,
// outbox, supply, supply_pending, supply_limit, supplies, supplies_drawn. No hunter and no supply
// has such a hash tag. A script creates and removes them in one step.
PoolVector<PoolString> probes(uint32_t core, std::string_view tag);
// Without a cluster. In one: this, a hyphen and a number, for a slot of each node.
inline constexpr std::string_view probe_tag = "huntd-probe";

// Fields of `held`. '#' is not allowed in ids, so none can be a loot_id. A reader ignores other
// fields that begin with it, and a writer keeps them.
inline constexpr char field_mark = '#';
inline constexpr std::string_view seq_field = "#seq";  // of the generation's newest event
inline constexpr std::string_view gen_field = "#gen";  // HeldGeneration (wire/generation.h)
// How much of the loot is of earlier generations; of a supply: units given that have no field.
inline constexpr std::string_view before_field = "#before";
// And the generation: the seq that this earlier generation had reached.
inline constexpr std::string_view was_prefix = "#was:";
// The units that awards of several gave beyond one each, of all generations; absent: 0.
inline constexpr std::string_view added_field = "#added";
// The units that takes took away, and one for each take, of all generations; absent: 0.
inline constexpr std::string_view taken_field = "#taken";
// "VERSION JSON": what the script keeps of the hunter; VERSION is random, another one per write.
inline constexpr std::string_view state_field = "#state";
inline constexpr std::string_view outbox_key_field = "k";
inline constexpr std::string_view outbox_value_field = "v";

}  // namespace huntd::keys
