// Every Redis key of huntd, and nothing else builds one (docs/formats/redis.md).
// Keys carry the bucket as hash tag, so that one commit touches one slot of a Redis Cluster; ids
// hold no colon and no brace, so that a key reads one way only.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/pool.h"

namespace huntd::keys {

// Hash: loot_id -> count, and `seq_field` -> the seq of the hunter's newest event in this hunt.
Text held(std::string_view hunter_id, std::string_view hunt_id);
// String: the record of a request already answered; `key` is its Idempotency-Key or its request_id.
Text done(std::string_view hunter_id, std::string_view hunt_id, std::string_view key);
// Stream: events committed but not yet acknowledged; entries have the fields `outbox_key_field`
// (hunter_id) and `outbox_value_field` (the event's JSON, byte for byte what Kafka gets).
Text outbox(uint32_t bucket);
// Hash: event_id -> state of one unit of a shared supply; its slot is its own, not a hunter's.
Text supply(std::string_view hunt_id, std::string_view loot_id);
// Sorted set in the supply's slot: event_id -> when it was reserved (ms), for units neither given
// nor released yet.
Text supply_pending(std::string_view hunt_id, std::string_view loot_id);
// String in the supply's slot: the limit that it was last asked with, in decimal.
Text supply_limit(std::string_view hunt_id, std::string_view loot_id);
// Set: "hunt_id:loot_id" of every supply ever drawn on.
inline constexpr std::string_view supplies = "supplies";

// '#' is no id character, so it can't be a loot_id.
inline constexpr std::string_view seq_field = "#seq";
inline constexpr std::string_view outbox_key_field = "k";
inline constexpr std::string_view outbox_value_field = "v";

}  // namespace huntd::keys
