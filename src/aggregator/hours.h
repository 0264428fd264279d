// How much loot was given in each hour: what a merge adds to hunt_loot_hour.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "aggregator/pg_link.h"
#include "aggregator/session.h"

namespace huntd {

class Hours {
 public:
  // The counted events of one session (SessionChange::counted).
  void add(std::string_view hunt_id, const std::vector<SessionEvent>& events,
           const std::vector<size_t>& counted);
  // Within the merge's transaction, in key order.
  Result<void> write(PgLink& postgres) const;

 private:
  static constexpr int64_t hour_ms = 3'600'000;
  struct One {
    int64_t hour;
    std::string_view loot_id;
    int64_t given;
  };
  std::map<std::tuple<std::string, int64_t, std::string>, int64_t> given_;
  std::vector<One> session_;  // of the session that add() is at: few hours, few loots
};

}  // namespace huntd
