// SPDX-License-Identifier: Apache-2.0
// The content of Redis, Kafka and PostgreSQL, side by side. redis_snapshot.h, kafka_snapshot.h and
// postgres_snapshot.h fill it, compare.h checks it.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "wire/event_id.h"
#include "wire/loot_event.h"
#include "wire/seq_set.h"

namespace huntd::reconcile {

using LootCounts = std::map<std::string, uint64_t, std::less<>>;

// The Redis hash held:{bN}:hunter:hunt.
struct HeldSnapshot {
  LootCounts loot = {};     // no count is 0
  uint64_t generation = 0;  // the present one; 0: there is no #gen
  uint64_t seq = 0;         // of the present generation
  uint64_t before = 0;      // how much of the loot is of earlier generations
  // An earlier generation -> the seq that it had reached.
  std::map<uint64_t, uint64_t> was = {};
};

// A row of hunt_session, and its events in hunt_session_waiting.
struct RowSnapshot {
  LootCounts loot = {};  // no count is 0
  uint64_t loot_count = 0;
  uint64_t generation = 0;               // the greatest that it has counted
  SeqSet seen = {};                      // the seqs of that generation that it has counted
  std::map<uint64_t, SeqSet> past = {};  // the same of earlier generations
  uint64_t forgotten_generation = 0;     // the greatest that it has removed from `past`
  std::vector<LootEvent> waiting = {};
};

// One hunter in one hunt.
struct SessionSnapshot {
  std::string hunter_id;
  std::string hunt_id;
  bool has_held = false;
  HeldSnapshot held;
  bool has_row = false;
  RowSnapshot row;
  std::vector<uint64_t> generations;  // of its events
};

// An event in Kafka or in the outbox. Small, because a topic may have tens of millions of events.
struct EventSnapshot {
  EventId event_id;
  uint64_t seq;
  uint32_t session;     // index in Snapshots::sessions
  uint32_t loot;        // index in Snapshots::loot_ids
  uint32_t generation;  // index in SessionSnapshot::generations
  bool in_outbox;       // else in Kafka
  bool expired;         // older than Snapshots::expired_before_ms
};
static_assert(sizeof(EventSnapshot) == 40);

// A shared supply.
struct SupplySnapshot {
  std::string hunt_id;
  std::string loot_id;
  std::vector<std::string> given;  // event_ids
  uint64_t before = 0;             // units given whose event_ids Redis no longer has
  uint64_t pending = 0;            // units reserved, neither settled nor released
  uint64_t counted = 0;            // by the table

  uint64_t taken() const { return given.size() + before + pending; }
};

// A record, Redis key or row that cannot be read.
struct UnreadableRecord {
  std::string position;  // "outbox:{b7} 1700-0" or "partition 3 offset 41"
  std::string reason;
  // Of a Kafka record: its place, and hash64() of its value.
  struct Place {
    int32_t partition;
    int64_t offset;
    auto operator<=>(const Place&) const = default;
  };
  std::optional<Place> place = std::nullopt;
  uint64_t value_hash = 0;
};

class Snapshots {
 public:
  // Returns the session with these ids, and adds it if it does not exist. The reference is valid
  // until the next call.
  SessionSnapshot& session(std::string_view hunter_id, std::string_view hunt_id);
  // The same for a supply.
  SupplySnapshot& supply(std::string_view hunt_id, std::string_view loot_id);
  // The floor of the session: its generations up to the floor are of a purged season, or of a
  // deleted hunter. Nothing if there is none.
  std::optional<uint64_t> floor_of(const SessionSnapshot& session) const;
  void add_event(const LootEvent& event, bool in_outbox);
  // Adds the event with this JSON. The error says why the aggregator cannot count it either.
  Result<void> add_value(std::string_view value, bool in_outbox);

  std::vector<SessionSnapshot> sessions;
  std::vector<EventSnapshot> events;
  std::vector<std::string> loot_ids;
  std::vector<SupplySnapshot> supplies;
  std::vector<UnreadableRecord> unreadable;
  uint64_t set_aside = 0;  // Kafka records that cannot be read, and are dead letters already
  std::unordered_map<std::string, uint64_t> hunt_floors;    // by hunt_id
  std::unordered_map<std::string, uint64_t> hunter_floors;  // by hunter_id
  bool hunters_deleted = false;  // hunter_floor has a hunter, with or without a session here
  bool has_kafka = false;
  int64_t expired_before_ms = 0;     // rows with only older loot may be deleted; 0: none is
  bool kafka_from_the_start = true;  // false if Kafka's retention has removed the topic's beginning

 private:
  uint32_t session_index(std::string_view hunter_id, std::string_view hunt_id);
  uint32_t loot_index(std::string_view loot_id);

  std::unordered_map<std::string, uint32_t> session_indexes_;  // by "hunter_id:hunt_id"
  std::unordered_map<std::string, uint32_t> loot_indexes_;
  std::unordered_map<std::string, uint32_t> supply_indexes_;  // by "hunt_id:loot_id"
};

}  // namespace huntd::reconcile
