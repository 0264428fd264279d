// SPDX-License-Identifier: Apache-2.0
// The content of Redis, Kafka and PostgreSQL, side by side. redis_snapshot.h, kafka_snapshot.h and
// postgres_snapshot.h fill it, compare.h checks it.
#pragma once
#include <cstdint>
#include <map>
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
  LootCounts loot;
  uint64_t seq = 0;
};

// A row of hunt_session, and its events in hunt_session_waiting.
struct RowSnapshot {
  LootCounts loot;
  uint64_t loot_count = 0;
  SeqSet seen;
  std::vector<LootEvent> waiting;
};

// One hunter in one hunt.
struct SessionSnapshot {
  std::string hunter_id;
  std::string hunt_id;
  bool has_held = false;
  HeldSnapshot held;
  bool has_row = false;
  RowSnapshot row;
};

// An event in Kafka or in the outbox. Small, because a topic may have tens of millions of events.
struct EventSnapshot {
  EventId event_id;
  uint64_t seq;
  uint32_t session;  // index in Snapshots::sessions
  uint32_t loot;     // index in Snapshots::loot_ids
  bool in_outbox;    // else in Kafka
  bool expired;      // older than Snapshots::expired_before_ms
};

// A shared supply.
struct SupplySnapshot {
  std::string hunt_id;
  std::string loot_id;
  std::vector<std::string> given;  // event_ids
  uint64_t pending = 0;            // units reserved, neither settled nor released
};

// A record, Redis key or row that cannot be read.
struct UnreadableRecord {
  std::string position;  // "outbox:{b7} 1700-0" or "partition 3 offset 41"
  std::string reason;
};

class Snapshots {
 public:
  // Returns the session with these ids, and adds it if it does not exist. The reference is valid
  // until the next call.
  SessionSnapshot& session(std::string_view hunter_id, std::string_view hunt_id);
  void add_event(const LootEvent& event, bool in_outbox);
  // Adds the event with this JSON. The error says why the aggregator cannot count it either.
  Result<void> add_value(std::string_view value, bool in_outbox);

  std::vector<SessionSnapshot> sessions;
  std::vector<EventSnapshot> events;
  std::vector<std::string> loot_ids;
  std::vector<SupplySnapshot> supplies;
  std::vector<UnreadableRecord> unreadable;
  bool has_kafka = false;
  int64_t expired_before_ms = 0;     // rows with only older loot may be deleted; 0: none is
  bool kafka_from_the_start = true;  // false if Kafka's retention has removed the topic's beginning

 private:
  uint32_t session_index(std::string_view hunter_id, std::string_view hunt_id);
  uint32_t loot_index(std::string_view loot_id);

  std::unordered_map<std::string, uint32_t> session_indexes_;  // by "hunter_id:hunt_id"
  std::unordered_map<std::string, uint32_t> loot_indexes_;
};

}  // namespace huntd::reconcile
