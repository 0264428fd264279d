#include "aggregator/hours.h"

#include <algorithm>

namespace huntd {

void Hours::add(std::string_view hunt_id, const std::vector<SessionEvent>& events,
                const std::vector<size_t>& counted) {
  session_.clear();
  for (size_t at : counted) {
    int64_t const hour = events[at].timestamp_ms / hour_ms;
    std::string_view const loot_id = events[at].loot_id;
    // The newest hour is the likeliest.
    auto const found = std::find_if(session_.rbegin(), session_.rend(), [&](const One& one) {
      return one.hour == hour && one.loot_id == loot_id;
    });
    if (found != session_.rend())
      found->given += 1;
    else
      session_.push_back({hour, loot_id, 1});
  }
  for (const One& one : session_)
    given_[{std::string(hunt_id), one.hour * hour_ms, std::string(one.loot_id)}] += one.given;
}

Result<void> Hours::write(PgLink& postgres) const {
  using Of = PgArray::Of;
  if (given_.empty()) return {};
  PgArray hunts(Of::text), hours(Of::timestamptz), loot(Of::text), counts(Of::int8);
  for (const auto& [key, count] : given_) {
    hunts.add_text(std::get<0>(key));
    hours.add_timestamp_ms(std::get<1>(key));
    loot.add_text(std::get<2>(key));
    counts.add_int8(count);
  }
  Result<PgRows> rows = postgres.run(
      "INSERT INTO hunt_loot_hour AS h (hunt_id, hour, loot_id, given) "
      "SELECT * FROM unnest($1, $2, $3, $4) AS v (hunt_id, hour, loot_id, given) "
      "ORDER BY hunt_id COLLATE \"C\", hour, loot_id COLLATE \"C\" "
      "ON CONFLICT (hunt_id, hour, loot_id) DO UPDATE SET given = h.given + excluded.given",
      {hunts, hours, loot, counts});
  if (!rows) return rows.error();
  return {};
}

}  // namespace huntd
