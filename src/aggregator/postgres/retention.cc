// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "aggregator/postgres/leaders.h"
#include "aggregator/postgres/schema.h"
#include "aggregator/sessions/aggregator_limits.h"
#include "aggregator/sessions/merge_lock.h"
#include "base/log.h"

namespace huntd::aggregator {
namespace {

constexpr int64_t day_ms = 86'400'000;

}  // namespace

namespace {

// In ms since the Unix epoch.
struct Clocks {
  int64_t present_ms = 0;  // the earlier of PostgreSQL's clock and this host's
  int64_t newest_ms = 0;   // the hour of the newest event up to then; 0: there is none
  // The last moment that is certain; nothing if no walk has remembered one. From the last walk on,
  // while events were counted, each within a day of the one before.
  std::optional<int64_t> known_ms;
};

Result<Clocks> read_clocks(PgLink& postgres, int64_t wall_now_ms) {
  PgArray wall(PgArray::Of::timestamptz);
  wall.add_timestamp_ms(wall_now_ms);
  Result<PgRows> const rows = postgres.execute(
      "WITH clock AS (SELECT least(now(), ($1)[1]) AS present), "
      "moments AS (SELECT known_at AS at FROM hunt_retention WHERE known_at IS NOT NULL "
      "  UNION SELECT h.hour FROM hunt_loot_hour h, hunt_retention r WHERE h.hour > r.known_at), "
      "steps AS (SELECT at, lag(at) OVER (ORDER BY at) AS before FROM moments), "
      "known AS (SELECT coalesce((SELECT min(before) FROM steps "
      "  WHERE at - before > interval '1 day'), (SELECT max(at) FROM moments)) AS known) "
      "SELECT floor(extract(epoch FROM present) * 1000)::bigint, "
      "coalesce(floor(extract(epoch FROM (SELECT max(hour) FROM hunt_loot_hour "
      "  WHERE hour <= present)) * 1000)::bigint, 0), "
      "floor(extract(epoch FROM known) * 1000)::bigint FROM clock, known",
      {wall});
  if (!rows) return rows.error();
  Clocks clocks{rows->integer(0, 0), rows->integer(0, 1), std::nullopt};
  if (!rows->is_null(0, 2)) clocks.known_ms = rows->integer(0, 2);
  return clocks;
}

}  // namespace

Result<Retention::Raised> Retention::raise_expired_before(PgLink& postgres, int64_t wall_now_ms) {
  return in_transaction(postgres, [&]() -> Result<Raised> {
    // Without waiting, because no merge could start behind a waiting exclusive lock.
    Result<PgRows> locked =
        postgres.execute(fmt::format("SELECT pg_try_advisory_xact_lock({})", merge_lock));
    if (!locked) return locked.error();
    if (locked->text(0, 0) != "t") return Raised::busy;
    if (Result<void> const fine = check_version_in(postgres); !fine) return fine.error();
    Result<Clocks> const clocks = read_clocks(postgres, wall_now_ms);
    if (!clocks) return clocks.error();
    if (clocks->known_ms && clocks->present_ms > *clocks->known_ms + limits::retention_step_max_ms)
      return Raised::doubted;
    PgArray before(PgArray::Of::timestamptz), present(PgArray::Of::timestamptz);
    int64_t const newest_ms = std::min(clocks->newest_ms, clocks->present_ms);
    before.add_timestamp_ms(std::max<int64_t>(newest_ms - days_ * day_ms, 0));
    present.add_timestamp_ms(clocks->present_ms);
    Result<PgRows> raised = postgres.execute(
        "UPDATE hunt_retention SET expired_before = greatest(expired_before, ($1)[1]), "
        "known_at = ($2)[1]",
        {before, present});
    if (!raised) return raised.error();
    return Raised::raised;
  });
}

Result<uint64_t> Retention::delete_page(PgLink& postgres) {
  return in_transaction(postgres, [&]() -> Result<uint64_t> {
    // A purge deletes from the same tables, and not in the order of this statement.
    Result<PgRows> locked =
        postgres.execute(fmt::format("SELECT pg_try_advisory_xact_lock_shared({})", merge_lock));
    if (!locked) return locked.error();
    if (locked->text(0, 0) != "t") return uint64_t{0};
    if (Result<void> const fine = check_version_in(postgres); !fine) return fine.error();
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

// Returns whether it has started.
Result<bool> Retention::start_walk(PgLink& postgres, int64_t wall_now_ms, int64_t steady_now_ms) {
  Result<Raised> const raised = raise_expired_before(postgres, wall_now_ms);
  if (!raised) return raised.error();
  next_at_ms_ = steady_now_ms + limits::retention_pause_ms;
  if (*raised != Raised::doubted) {
    doubted_since_ms_ = 0;
    return *raised == Raised::raised;
  }
  // After a time without an aggregator, the events of that time are merged first.
  if (doubted_since_ms_ == 0) doubted_since_ms_ = steady_now_ms;
  if (steady_now_ms - doubted_since_ms_ < limits::retention_doubt_ms) return false;
  log::error(
      "no rows are deleted: the clock is more than a day ahead of the last event and of the "
      "last time that rows were deleted",
      {{"hint",
        "if the clocks of this host and of PostgreSQL are right, run: UPDATE hunt_retention "
        "SET known_at = NULL"}});
  doubted_since_ms_ = 0;
  next_at_ms_ = steady_now_ms + limits::retention_every_ms;
  return false;
}

Result<uint64_t> Retention::step(PgLink& postgres, int64_t wall_now_ms, int64_t steady_now_ms) {
  if (walking_) {
    Result<uint64_t> const deleted = delete_page(postgres);
    if (!deleted) walking_ = false;
    refills_ = deleted && !walking_;
    bool const soon = walking_ || refills_;
    next_at_ms_ = steady_now_ms + (soon ? limits::retention_pause_ms : limits::retention_every_ms);
    return deleted;
  }
  if (refills_) {
    Result<Refilled> const done = refill_leaders(postgres);
    if (done && *done != Refilled::busy) refills_ = false;
    int64_t pause_ms = limits::retention_every_ms;
    if (done && *done == Refilled::busy) pause_ms = limits::retention_pause_ms;
    if (done && *done == Refilled::enough && days_ == 0) pause_ms = limits::leaders_look_every_ms;
    next_at_ms_ = steady_now_ms + pause_ms;
    if (!done) return done.error();
    return uint64_t{0};
  }
  Result<bool> const started = start_walk(postgres, wall_now_ms, steady_now_ms);
  if (!started) {
    next_at_ms_ = steady_now_ms + limits::retention_every_ms;
    return started.error();
  }
  walking_ = *started;
  after_hunter_.clear();
  after_hunt_.clear();
  return uint64_t{0};
}

}  // namespace huntd::aggregator
