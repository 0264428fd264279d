// SPDX-License-Identifier: Apache-2.0
// What hunters hold of one hunt and what its supplies have given, in memory, for a simulation.
//
// Runs have numbers and take effect in the order of these, while they may be played at the same
// time and in any order: draw() replies to a run only what it would be if all earlier runs had
// ended before it.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rehearsal/simulation_limits.h"

namespace huntd {

class PretendLedger {
 public:
  using Loot = uint32_t;  // a loot_id, by its number here

  struct Held {
    Loot loot;
    uint64_t count;
  };
  // What a run gives of a loot; below 0: what it takes.
  struct Given {
    Given(Loot its_loot, int32_t its_units = 1) : loot(its_loot), units(its_units) {}
    Loot loot;
    int32_t units;
  };
  // What a run asked of a supply, and got.
  struct Draw {
    Loot loot;
    bool granted;
    uint64_t limit;
  };
  // What has been drawn from a supply by the runs that have ended.
  struct Supply {
    bool enlisted = false;  // a run has asked for a unit
    uint64_t limit = 0;     // the greatest that a run gave
    uint64_t given = 0;
    uint64_t gone = 0;  // replies that no unit is left
  };

  enum class Unit {
    granted,
    gone,
    full,   // the hunt has drawn on too many other supplies
    later,  // that depends on earlier runs that have not ended: ask again when one has
  };
  enum class Commit {
    done,
    held_full,  // the hunter would hold too many different loot_ids; nothing was given
    too_large,  // the ledger holds simulation::held_pairs_max or its states; nothing was given
  };

  // `state_bytes_max` bounds the memory of the states.
  explicit PretendLedger(size_t hunters, uint64_t state_bytes_max = simulation::state_bytes_max)
      : held_(hunters), state_bytes_max_(state_bytes_max) {}

  // The number of a loot_id. Nothing if there are simulation::loot_ids_max others.
  std::optional<Loot> loot_of(std::string_view loot_id);
  const std::string& loot_id(Loot loot) const { return loot_ids_[loot]; }
  size_t loot_count() const { return loot_ids_.size(); }

  // In the order of the first award, which no other hunter's runs influence.
  std::span<const Held> held(size_t hunter) const { return held_[hunter]; }
  // What the script keeps of a hunter, as JSON; empty: nothing.
  std::string_view state(size_t hunter) const {
    auto const found = states_.find(hunter);
    return found == states_.end() ? std::string_view() : found->second;
  }
  const Supply& supply(Loot loot) const { return supplies_[loot]; }
  size_t hunters() const { return held_.size(); }

  // A unit for a run that has made `draws` before, while `earlier` runs before it have not ended.
  Unit draw(Loot loot, uint64_t limit, std::span<const Draw> draws, uint64_t earlier) const;
  // The units that are left for a run that has made `draws` before. Nothing if that depends on the
  // `earlier` runs before it that have not ended: ask again when one has.
  std::optional<uint64_t> left(Loot loot, uint64_t limit, std::span<const Draw> draws,
                               uint64_t earlier) const;
  // Ends a run that gives `awards`. Its granted draws are among them. `new_state` is what it keeps
  // then, as JSON; nothing: what was kept before.
  // REQUIRES: all runs before it have ended, and the hunter holds what the run takes.
  Commit commit(size_t hunter, std::span<const Given> awards, std::span<const Draw> draws,
                const std::optional<std::string>& new_state = std::nullopt);
  // Ends a run that gives nothing: its units are left for later runs.
  // REQUIRES: all runs before it have ended.
  void release(std::span<const Draw> draws);

 private:
  // Given, or reserved by these draws.
  uint64_t taken(Loot loot, std::span<const Draw> draws) const;

  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  std::unordered_map<std::string, Loot, TextHash, std::equal_to<>> loot_by_id_;
  std::vector<std::string> loot_ids_;
  std::vector<Supply> supplies_;  // by Loot
  size_t enlisted_ = 0;
  std::vector<std::vector<Held>> held_;  // by hunter
  uint64_t held_pairs_ = 0;
  std::unordered_map<size_t, std::string> states_;  // by hunter; not empty
  uint64_t state_bytes_ = 0;                        // of their JSON
  uint64_t state_bytes_max_;
};

}  // namespace huntd
