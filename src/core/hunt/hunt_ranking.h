// SPDX-License-Identifier: Apache-2.0
// Which hunts of a core have figures of their own, and the figures of each request (decision 45).
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/limits.h"
#include "bundle/bundle.h"
#include "metrics/hunt_table.h"

namespace huntd::server {

// A hunt of the bundle gets a slot of the core's HuntTable with its first request. While there are
// more hunts than slots, the hunts with the highest rates take the place of those with the lowest.
// A name that is not in the bundle never gets one, so clients cannot fill the table.
class HuntRanking {
 public:
  // What a former process of the core has counted stays. The table outlives the ranking.
  explicit HuntRanking(HuntTable& table);

  // The hunts of the bundle that new requests run. Those that stay keep their figures; one that is
  // gone keeps them until another hunt needs its slot.
  void use(const std::vector<BundledHunt>& hunts);
  // Counts a request. `duration_ns`: how long it took; nothing if it got no worker. No allocation.
  void count(std::string_view hunt_id, HuntOutcome outcome, std::optional<uint64_t> duration_ns);
  // Call it in every tick: each limits::hunt_ranking_period_ns it compares the rates.
  void rank_if_due(uint64_t now_ns) {
    if (now_ns < rank_at_ns_) return;
    rank_at_ns_ = now_ns + limits::hunt_ranking_period_ns;
    rank();
  }

 private:
  struct Place {
    size_t slot = none;
    uint64_t heat = 0;  // recent requests: an eighth of it is lost with each ranking
    bool in_bundle = false;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view hunt_id) const { return hash64(hunt_id); }
  };
  using Places = std::unordered_map<std::string, Place, Hash, std::equal_to<>>;
  static constexpr size_t none = SIZE_MAX;

  size_t row_of(std::string_view hunt_id);
  void rank();
  void replace_coldest();

  HuntTable& table_;
  Places places_;  // of the bundle's hunts, and of all that have a slot
  uint64_t rank_at_ns_ = 0;
};

}  // namespace huntd::server
