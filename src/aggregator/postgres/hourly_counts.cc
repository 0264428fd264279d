// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/hourly_counts.h"

#include <algorithm>

namespace huntd::aggregator {

void HourlyCounts::add(std::string_view hunt_id, const std::vector<SessionEvent>& events,
                       const std::vector<size_t>& counted) {
  session_.clear();
  for (size_t at : counted) {
    int64_t const units = std::max(events[at].units, 0);
    int64_t const hour = events[at].timestamp_ms / hour_ms;
    std::string_view const loot_id = events[at].loot_id;
    // Search from the newest hour, which is the most likely.
    auto const found = std::find_if(session_.rbegin(), session_.rend(), [&](const Count& count) {
      return count.hour == hour && count.loot_id == loot_id;
    });
    if (found != session_.rend())
      found->units += units;
    else
      session_.push_back({hour, loot_id, units});
  }
  for (const Count& count : session_)
    counts_[{std::string(hunt_id), count.hour * hour_ms, std::string(count.loot_id)}] +=
        count.units;
}

Result<void> HourlyCounts::write(PgLink& postgres) const {
  using Of = PgArray::Of;
  if (counts_.empty()) return {};
  PgArray hunts(Of::text), hours(Of::timestamptz), loot(Of::text), counts(Of::int8);
  for (const auto& [key, count] : counts_) {
    hunts.add_text(std::get<0>(key));
    hours.add_timestamp_ms(std::get<1>(key));
    loot.add_text(std::get<2>(key));
    counts.add_int8(count);
  }
  Result<PgRows> rows = postgres.execute(
      "INSERT INTO hunt_loot_hour AS h (hunt_id, hour, loot_id, given) "
      "SELECT * FROM unnest($1, $2, $3, $4) AS v (hunt_id, hour, loot_id, given) "
      "ORDER BY hunt_id COLLATE \"C\", hour, loot_id COLLATE \"C\" "
      "ON CONFLICT (hunt_id, hour, loot_id) DO UPDATE SET given = h.given + excluded.given",
      {hunts, hours, loot, counts});
  if (!rows) return rows.error();
  return {};
}

}  // namespace huntd::aggregator
