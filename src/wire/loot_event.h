// SPDX-License-Identifier: Apache-2.0
// A loot event: the value of a Kafka record and of an outbox entry (docs/formats/loot-event.md).
// Redis assigns seq and generation during the commit, so the JSON is written in parts, around them.
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
  uint64_t seq = 0;          // numbers the loot of a generation, from 1
  int64_t timestamp_ms = 0;  // since the Unix epoch
  std::string bundle;        // 32 hex digits
  uint64_t generation = 0;   // of what the hunter holds in the hunt (wire/generation.h)
  bool from_supply = false;  // the award was drawn from a shared supply
  // How much of the loot the event gives; below 0: how much it takes away. Not 0.
  int32_t units = 1;
};

// The same as views. The function that returns it says who owns the memory.
struct LootEventView {
  std::string_view event_id;
  std::string_view hunter_id;
  std::string_view hunt_id;
  std::string_view loot_id;
  uint64_t seq = 0;
  int64_t timestamp_ms = 0;
  std::string_view bundle;
  uint64_t generation = 0;
  bool from_supply = false;
  int32_t units = 1;
};

// Returns the event_id of the award at `position` (from 0) of an attempt. Each attempt has a
// request_id of its own, so no two awards have the same event_id.
PoolString make_event_id(std::string_view hunter_id, std::string_view hunt_id,
                         std::string_view request_id, uint32_t position);

// The fields of an event before Redis assigns its generation and its seq.
struct LootEventFacts {
  std::string_view event_id;
  std::string_view hunter_id;
  std::string_view hunt_id;
  std::string_view loot_id;
  int64_t timestamp_ms = 0;
  std::string_view bundle;
  bool from_supply = false;
  int32_t units = 1;
};

// The event's JSON is `head`, seq in decimal, event_gen_prefix, the generation as 16 hex digits,
// and `tail`.
inline constexpr std::string_view event_gen_prefix = R"(,"gen":")";
struct LootEventText {
  PoolString head;
  PoolString tail;
};
LootEventText loot_event_text(const LootEventFacts& facts);

// Returns the event's JSON; without `gen` if the generation is 0, as an older huntd wrote it.
std::string write_loot_event(const LootEvent& event);
// Reads an event's JSON. The error names the field that is missing or malformed. Unknown fields are
// ignored, and a record of an unknown `kind` is an error: it is not an award of one unit.
Result<LootEvent> read_loot_event(std::string_view json);
// The same; the views are valid until this thread calls view_loot_event() or read_loot_event()
// again.
Result<LootEventView> view_loot_event(std::string_view json);
// Checks the bounds of the table: limits::seq_max and limits::timestamp_ms_max. The error names the
// field.
Result<void> check_bounds(uint64_t seq, int64_t timestamp_ms);

}  // namespace huntd
