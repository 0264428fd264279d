// SPDX-License-Identifier: Apache-2.0
// What `huntctl restore` does with one hunter's loot in a hunt (decision 30).
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "aggregator/sessions/session.h"
#include "huntctl/held_hash.h"

namespace huntd::huntctl {

struct RestorePlan {
  enum class Kind {
    nothing,  // Redis lacks nothing
    restore,
    later,    // the table has not counted everything that Redis has: run it again
    differs,  // the two differ in another way than by writes that Redis lost
  };
  Kind kind = Kind::nothing;
  std::string reason;  // of later and differs
  uint64_t loot = 0;   // units to add, and to take away
  // The change of the hash `held`.
  std::vector<std::pair<std::string, std::string>> set;
  std::vector<std::string> remove;
};

// `floor` is the hunt's: generations up to it are of a purged season; 0: none is. The plan adds the
// loot that `row` has counted and `held` lacks as loot of earlier generations, so that the next
// commit does not continue a seq that was given out before. Applied, it leaves a hash for which
// the plan is `nothing`.
RestorePlan plan_restore(const HeldHash& held, const aggregator::Session& row, uint64_t floor);

}  // namespace huntd::huntctl
