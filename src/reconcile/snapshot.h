// SPDX-License-Identifier: Apache-2.0
// The content of Redis, Kafka and PostgreSQL, side by side, of a group of sessions. reading.h fills
// it, compare.h checks it.
#pragma once
#include <compare>
#include <cstdint>
#include <deque>
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

// loot_id -> count. It may be below 0: a hunter owes loot if Redis has lost a take, and then took it
// once more; a row may have counted a take before the awards.
using LootCounts = std::map<std::string, int64_t, std::less<>>;

// The Redis hash held:{bN}:hunter:hunt.
struct HeldSnapshot {
  LootCounts loot = {};     // no count is 0
  uint64_t generation = 0;  // the present one; 0: there is no #gen
  uint64_t seq = 0;         // of the present generation
  uint64_t before = 0;      // how much of the loot is of earlier generations
  // An earlier generation -> the seq that it had reached.
  std::map<uint64_t, uint64_t> was = {};
  // Of all generations: units that awards gave beyond one each; units that takes took, and one for
  // each take.
  uint64_t added = 0;
  uint64_t taken = 0;
};

// A row of hunt_session, and its events in hunt_session_waiting.
struct RowSnapshot {
  LootCounts loot = {};  // no count is 0
  int64_t loot_count = 0;
  uint64_t generation = 0;               // the greatest that it has counted
  SeqSet seen = {};                      // the seqs of that generation that it has counted
  std::map<uint64_t, SeqSet> past = {};  // the same of earlier generations
  uint64_t forgotten_generation = 0;     // the greatest that it has removed from `past`
  uint64_t added = 0;                    // as of HeldSnapshot
  uint64_t taken = 0;
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
  uint32_t loot;        // index in Snapshots::loot_ids and loot_units
  uint32_t generation;  // index in SessionSnapshot::generations
  bool in_outbox;       // else in Kafka
  bool expired;         // older than StoreFacts::expired_before_ms
  bool operator==(const EventSnapshot&) const = default;
};
static_assert(sizeof(EventSnapshot) == 40);

// A record, Redis key or row that cannot be read, by its place.
struct NamedRecord {
  std::string position;
  std::string reason;
  auto operator<=>(const NamedRecord&) const = default;  // NOLINT(modernize-use-nullptr)
};

// What an event needs to be compared.
struct EventParts {
  EventId event_id = {};
  std::string_view hunter_id = {};
  std::string_view hunt_id = {};
  std::string_view loot_id = {};
  uint64_t generation = 0;
  uint64_t seq = 0;
  bool in_outbox = false;
  bool expired = false;
  int32_t units = 1;  // below 0: taken
};

// What is the same for all sessions.
struct StoreFacts {
  std::unordered_map<std::string, uint64_t> hunt_floors;  // by hunt_id
  bool hunters_deleted = false;  // hunter_floor has a hunter, with or without a session here
  bool has_kafka = false;
  int64_t expired_before_ms = 0;     // rows with only older loot may be deleted; 0: none is
  bool kafka_from_the_start = true;  // false if Kafka's retention has removed the topic's beginning
};

class Snapshots : public StoreFacts {
 public:
  // Returns the session with these ids, and adds it if it does not exist.
  SessionSnapshot& session(std::string_view hunter_id, std::string_view hunt_id) {
    return sessions[session_index(hunter_id, hunt_id)];
  }
  uint32_t session_index(std::string_view hunter_id, std::string_view hunt_id);
  // Returns the session's index if it exists.
  std::optional<uint32_t> find_session(std::string_view hunter_id, std::string_view hunt_id) const;
  // The floor of the session: its generations up to the floor are of a purged season, or of a
  // deleted hunter. Nothing if there is none.
  std::optional<uint64_t> floor_of(const SessionSnapshot& session) const;
  EventSnapshot make_event(const EventParts& event);
  void add_event(const EventParts& event);
  void add_event(const LootEvent& event, bool in_outbox);
  // Removes events that are there twice.
  void drop_duplicates();

  std::deque<SessionSnapshot> sessions;
  std::vector<EventSnapshot> events;
  // Of events: a loot_id that is given by one, by three and taken is there three times.
  std::vector<std::string> loot_ids;
  std::vector<int32_t> loot_units;
  std::vector<NamedRecord> unreadable;  // keys and rows
  uint64_t kafka_records = 0;           // events from Kafka, with duplicates
  uint64_t bytes = 0;                   // about what the sessions take, without the events
  std::unordered_map<std::string, uint64_t> hunter_floors;  // by hunter_id

  // Returns the index of the loot_id with these units, and adds it if it is new.
  uint32_t loot_index(std::string_view loot_id, int32_t units);

 private:
  std::unordered_map<std::string, uint32_t> session_indexes_;  // by "hunter_id:hunt_id"
  std::unordered_map<std::string, uint32_t> loot_indexes_;  // by loot_id, and of several ":units"
};

}  // namespace huntd::reconcile
