// What Redis, Kafka and Postgres each say about who got what, side by side. Filled by
// redis_books.h, kafka_books.h and postgres_books.h, judged by compare.h.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "aggregator/seq_set.h"
#include "protocol/loot_event.h"

namespace huntd {

using LootCounts = std::map<std::string, uint64_t, std::less<>>;

// Redis, held:{bN}:hunter:hunt.
struct HeldBook {
  LootCounts loot;
  uint64_t seq = 0;
};

// One row of hunt_session, and the events that wait beside it.
struct RowBook {
  LootCounts loot;
  uint64_t loot_count = 0;
  SeqSet seen;
  std::vector<LootEvent> waiting;
};

// Everything known of one hunter in one hunt.
struct SessionBook {
  std::string hunter_id;
  std::string hunt_id;
  bool has_held = false;
  HeldBook held;
  bool has_row = false;
  RowBook row;
};

// One event as Kafka or the outbox has it, small: a topic may hold tens of millions.
struct EventBook {
  uint64_t event_id_high;
  uint64_t event_id_low;
  uint64_t seq;
  uint32_t session;  // index in Books::sessions
  uint32_t loot;     // index in Books::loot_ids
  bool in_outbox;    // else in Kafka
  bool forgotten;    // older than Books::forgotten_before_ms
};

// One shared supply: what was taken of it.
struct SupplyBook {
  std::string hunt_id;
  std::string loot_id;
  std::vector<std::string> given;  // event_ids
  uint64_t pending = 0;            // reserved, neither given nor released yet
};

// A record that is no event.
struct UnreadableBook {
  std::string place;  // "outbox:{b7} 1700-0" or "partition 3 offset 41"
  std::string reason;
};

class Books {
 public:
  // The session of these ids, made on first use. The reference is good until the next call.
  SessionBook& session(std::string_view hunter_id, std::string_view hunt_id);
  void add_event(const LootEvent& event, bool in_outbox);
  // Adds the event that `value` is; or the error says why it can't be counted, by the aggregator
  // neither.
  Result<void> add_value(std::string_view value, bool in_outbox);

  std::vector<SessionBook> sessions;
  std::vector<EventBook> events;
  std::vector<std::string> loot_ids;
  std::vector<SupplyBook> supplies;
  std::vector<UnreadableBook> unreadable;
  bool has_kafka = false;
  int64_t forgotten_before_ms = 0;   // rows with no newer loot may be deleted; 0: none is
  bool kafka_from_the_start = true;  // false where retention has removed the topic's beginning

 private:
  uint32_t session_index(std::string_view hunter_id, std::string_view hunt_id);
  uint32_t loot_index(std::string_view loot_id);

  std::unordered_map<std::string, uint32_t> session_indexes_;  // by "hunter_id:hunt_id"
  std::unordered_map<std::string, uint32_t> loot_indexes_;
};

}  // namespace huntd
