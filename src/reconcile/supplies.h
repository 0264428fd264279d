// SPDX-License-Identifier: Apache-2.0
// Shared supplies: what Redis says is given, what hunters hold, and what the table has counted.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "reconcile/report.h"
#include "reconcile/shared_ids.h"
#include "wire/event_id.h"

namespace huntd::reconcile {

struct SupplySnapshot {
  std::string hunt_id = {};
  std::string loot_id = {};
  uint64_t given = 0;    // units given whose event_ids Redis has
  uint64_t before = 0;   // units given whose event_ids Redis no longer has
  uint64_t pending = 0;  // units reserved, neither settled nor released
  uint64_t counted = 0;  // by the table
  uint64_t held = 0;     // by hunters, or lost by Redis

  uint64_t taken() const { return given + before + pending; }
  // More units are given than hunters hold or may have held. `taken_away`: the units of any loot
  // that takes took from the hunters of the hunt, at least; how many of them were of this supply is
  // not known.
  bool is_over(uint64_t taken_away) const { return given + before > held + taken_away; }
  // The table has counted more units than Redis knows.
  bool is_lost() const { return counted > taken(); }
};

class Supplies {
 public:
  // Returns the index of the supply, and adds it if it does not exist.
  uint32_t index_of(std::string_view hunt_id, std::string_view loot_id);
  SupplySnapshot& supply(std::string_view hunt_id, std::string_view loot_id) {
    return all[index_of(hunt_id, loot_id)];
  }
  // Adds to what hunters hold, if this loot is of a supply.
  void add_held(std::string_view hunt_id, std::string_view loot_id, uint64_t count);
  // Adds to what takes took from the hunters of a hunt.
  void add_taken(std::string_view hunt_id, uint64_t units);
  // The sum of what was added so.
  uint64_t taken_away(std::string_view hunt_id) const;
  // `hunters_deleted`: what deleted hunters held is not known.
  void check(bool hunters_deleted, Findings& findings) const;

  std::vector<SupplySnapshot> all;

 private:
  std::unordered_map<std::string, uint32_t> indexes_;        // by "hunt_id:loot_id"
  std::map<std::string, uint64_t, std::less<>> taken_away_;  // by hunt_id; not 0
};

// A unit of a supply, as Redis has it.
struct SupplyUnit {
  uint32_t supply = 0;  // index in Supplies::all
  EventId event_id;
  bool pending = false;   // else given
  std::string malformed;  // what Redis has in place of an event_id
};

// Counts `units`, each once: HSCAN may return a unit twice, and with two states. If `events` is not
// null, it has all events whose event_ids are in the partition of `units`, sorted, and a unit that
// is given by an event that does not exist is a difference.
void count_units(std::vector<SupplyUnit> units, const std::vector<IdentifiedEvent>* events,
                 Supplies& supplies, Findings& findings);

}  // namespace huntd::reconcile
