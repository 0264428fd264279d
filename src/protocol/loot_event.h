// One record of loot_events: the value of a Kafka message, of an outbox entry, and what the
// aggregator reads (docs/formats/loot-event.md). The commit gives out `seq` inside Redis, so the
// text is written here in two halves around it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/pool.h"
#include "base/result.h"

namespace huntd {

struct LootEvent {
  std::string event_id;  // 32 hex digits
  std::string hunter_id;
  std::string hunt_id;
  std::string loot_id;
  uint64_t seq = 0;          // counts a hunter's loot in a hunt, from 1
  int64_t timestamp_ms = 0;  // since the epoch
  std::string bundle;        // 32 hex digits
};

// The same without memory of its own: what it shows belongs to whoever wrote it down.
struct LootEventView {
  std::string_view event_id;
  std::string_view hunter_id;
  std::string_view hunt_id;
  std::string_view loot_id;
  uint64_t seq = 0;
  int64_t timestamp_ms = 0;
  std::string_view bundle;
};

// The event_id of the award at `position` (from 0) of one request: the same for every repeat of it.
// `key` is the request's Idempotency-Key or its request_id.
Text make_event_id(std::string_view hunter_id, std::string_view hunt_id, std::string_view key,
                   uint32_t position);

// What of an event is known before Redis gives out its seq.
struct LootEventFacts {
  std::string_view event_id;
  std::string_view hunter_id;
  std::string_view hunt_id;
  std::string_view loot_id;
  int64_t timestamp_ms = 0;
  std::string_view bundle;
};

// The event's JSON is head + decimal seq + tail.
struct LootEventText {
  Text head;
  Text tail;
};
LootEventText loot_event_text(const LootEventFacts& facts);

// The whole JSON.
std::string write_loot_event(const LootEvent& event);
// Reads one; every field must be there and well formed, unknown fields are passed over.
Result<LootEvent> read_loot_event(std::string_view json);
// The same; the views are valid until this thread reads another one.
Result<LootEventView> view_loot_event(std::string_view json);
// Whether the table can hold an event that was read: seq and timestamp within the bounds of
// docs/formats/loot-event.md (limits::seq_max, limits::timestamp_ms_max).
Result<void> check_bounds(uint64_t seq, int64_t timestamp_ms);

}  // namespace huntd
