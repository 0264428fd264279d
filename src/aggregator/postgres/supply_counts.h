// SPDX-License-Identifier: Apache-2.0
// The units of shared supplies that were given: what a merge adds to the table hunt_supply.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aggregator/sessions/session.h"
#include "drivers/pg_link.h"

namespace huntd::aggregator {

class SupplyCounts {
 public:
  // Adds those of the events with the indexes `counted` (SessionChange::counted) that were drawn
  // from a supply. They are of one session.
  void add(std::string_view hunt_id, const std::vector<SessionEvent>& events,
           const std::vector<size_t>& counted);
  // Adds the counts to the table, in key order. REQUIRES: the merge's transaction is open.
  Result<void> write(PgLink& postgres) const;

 private:
  std::map<std::pair<std::string, std::string>, int64_t> given_;  // by hunt_id and loot_id
};

}  // namespace huntd::aggregator
