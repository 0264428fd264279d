// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/retention.h"

#include <fmt/format.h>

#include "aggregator/sessions/aggregator_limits.h"
#include "aggregator/sessions/merge_lock.h"

namespace huntd::aggregator {
namespace {

constexpr int64_t day_ms = 86'400'000;

}  // namespace

Result<bool> Retention::raise_expired_before(PgLink& postgres, int64_t before_ms) {
  return in_transaction(postgres, [&]() -> Result<bool> {
    // Without waiting, because no merge could start behind a waiting exclusive lock.
    Result<PgRows> locked =
        postgres.execute(fmt::format("SELECT pg_try_advisory_xact_lock({})", merge_lock));
    if (!locked) return locked.error();
    if (locked->text(0, 0) != "t") return false;
    PgArray before(PgArray::Of::timestamptz);
    before.add_timestamp_ms(before_ms);
    Result<PgRows> raised = postgres.execute(
        "UPDATE hunt_retention SET expired_before = greatest(expired_before, ($1)[1])", {before});
    if (!raised) return raised.error();
    return true;
  });
}

Result<uint64_t> Retention::delete_page(PgLink& postgres) {
  return in_transaction(postgres, [&]() -> Result<uint64_t> {
    // A purge deletes from the same tables, and not in the order of this statement.
    Result<PgRows> locked =
        postgres.execute(fmt::format("SELECT pg_try_advisory_xact_lock_shared({})", merge_lock));
    if (!locked) return locked.error();
    if (locked->text(0, 0) != "t") return uint64_t{0};
    PgArray hunter(PgArray::Of::text), hunt(PgArray::Of::text), size(PgArray::Of::int8);
    hunter.add_text(after_hunter_);
    hunt.add_text(after_hunt_);
    size.add_int8(limits::retention_page_max);
    Result<PgRows> rows = postgres.execute(
        "WITH page AS MATERIALIZED (SELECT hunter_id, hunt_id FROM hunt_session "
        "  WHERE (hunter_id, hunt_id) > (($1)[1] COLLATE \"C\", ($2)[1] COLLATE \"C\") "
        "  ORDER BY hunter_id, hunt_id LIMIT ($3)[1]), "
        "old AS MATERIALIZED (SELECT s.hunter_id, s.hunt_id FROM page "
        "  JOIN hunt_session s USING (hunter_id, hunt_id), hunt_retention r "
        "  WHERE s.last_loot_at < r.expired_before AND NOT EXISTS (SELECT FROM "
        "  hunt_session_waiting w WHERE w.hunter_id = s.hunter_id AND w.hunt_id = s.hunt_id "
        "  AND w.at >= r.expired_before) "
        // The hunt has ended: it has awarded nothing since. (The hour in which that time lies
        // counts as since.)
        "  AND NOT EXISTS (SELECT FROM hunt_loot_hour h WHERE h.hunt_id = s.hunt_id "
        "  AND h.hour + interval '1 hour' > r.expired_before) FOR UPDATE OF s SKIP LOCKED), "
        "waiting AS (DELETE FROM hunt_session_waiting w USING old "
        "  WHERE w.hunter_id = old.hunter_id AND w.hunt_id = old.hunt_id), "
        "gone AS (DELETE FROM hunt_session s USING old "
        "  WHERE s.hunter_id = old.hunter_id AND s.hunt_id = old.hunt_id RETURNING 1) "
        "SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM page), hunter_id, hunt_id "
        "FROM page ORDER BY hunter_id DESC, hunt_id DESC LIMIT 1",
        {hunter, hunt, size});
    if (!rows) return rows.error();
    walking_ = rows->count() == 1 &&
               rows->integer(0, 1) == static_cast<int64_t>(limits::retention_page_max);
    if (rows->count() == 0) return uint64_t{0};
    after_hunter_ = rows->text(0, 2);
    after_hunt_ = rows->text(0, 3);
    return static_cast<uint64_t>(rows->integer(0, 0));
  });
}

Result<uint64_t> Retention::step(PgLink& postgres, int64_t wall_now_ms, int64_t steady_now_ms) {
  Result<uint64_t> deleted = uint64_t{0};
  if (walking_) {
    deleted = delete_page(postgres);
    if (!deleted) walking_ = false;
  } else {
    Result<bool> raised = raise_expired_before(postgres, wall_now_ms - days_ * day_ms);
    if (raised) {
      walking_ = *raised;  // else retry soon
      after_hunter_.clear();
      after_hunt_.clear();
      next_at_ms_ = steady_now_ms + limits::retention_pause_ms;
      return deleted;
    }
    deleted = raised.error();
  }
  next_at_ms_ =
      steady_now_ms + (walking_ ? limits::retention_pause_ms : limits::retention_every_ms);
  return deleted;
}

}  // namespace huntd::aggregator
