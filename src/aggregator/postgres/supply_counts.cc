// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/supply_counts.h"

namespace huntd::aggregator {

void SupplyCounts::add(std::string_view hunt_id, const std::vector<SessionEvent>& events,
                       const std::vector<size_t>& counted) {
  for (size_t at : counted)
    if (events[at].from_supply)
      given_[{std::string(hunt_id), std::string(events[at].loot_id)}] += 1;
}

Result<void> SupplyCounts::write(PgLink& postgres) const {
  using Of = PgArray::Of;
  if (given_.empty()) return {};
  PgArray hunts(Of::text), loot(Of::text), given(Of::int8);
  for (const auto& [key, count] : given_) {
    hunts.add_text(key.first);
    loot.add_text(key.second);
    given.add_int8(count);
  }
  Result<PgRows> rows = postgres.execute(
      "INSERT INTO hunt_supply AS s (hunt_id, loot_id, given) "
      "SELECT * FROM unnest($1, $2, $3) AS v (hunt_id, loot_id, given) "
      "ORDER BY hunt_id COLLATE \"C\", loot_id COLLATE \"C\" "
      "ON CONFLICT (hunt_id, loot_id) DO UPDATE SET given = s.given + excluded.given",
      {hunts, loot, given});
  if (!rows) return rows.error();
  return {};
}

}  // namespace huntd::aggregator
