// SPDX-License-Identifier: Apache-2.0
// The loot awarded per hunt, hour and loot_id: what a merge adds to the table hunt_loot_hour.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "aggregator/sessions/session.h"
#include "drivers/pg_link.h"

namespace huntd::aggregator {

class HourlyCounts {
 public:
  // Adds what the events of one session give; an hour of takes alone is there with 0, since retention
  // goes by the hours of events. Only the events with the indexes `counted` (SessionChange::counted).
  void add(std::string_view hunt_id, const std::vector<SessionEvent>& events,
           const std::vector<size_t>& counted);
  // Adds the counts to the table, in key order. REQUIRES: the merge's transaction is open.
  Result<void> write(PgLink& postgres) const;

 private:
  static constexpr int64_t hour_ms = 3'600'000;
  struct Count {
    int64_t hour;
    std::string_view loot_id;
    int64_t units;
  };
  std::map<std::tuple<std::string, int64_t, std::string>, int64_t> counts_;
  std::vector<Count> session_;  // of the session in add(): few hours, few loot_ids
};

}  // namespace huntd::aggregator
