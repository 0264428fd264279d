#include "aggregator/materialize.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "aggregator/aggregator_limits.h"
#include "aggregator/hours.h"
#include "aggregator/merge_slice.h"
#include "aggregator/retention.h"

namespace huntd {
namespace {

using Of = PgArray::Of;

// So many sessions are read, changed and written at a time: what a statement carries, and what
// Postgres sorts and joins, stays in memory.
constexpr size_t slice_sessions_max = 32'768;

Result<void> file_dead(PgLink& postgres, const Fold& fold, const std::string& source,
                       Merged& merged) {
  PgArray sources(Of::text), partitions(Of::int4), positions(Of::text);
  PgArray payloads(Of::bytea), reasons(Of::text);
  auto add = [&](const DeadRecord& record, const std::string& from) {
    sources.add_text(from);
    partitions.add_int4(static_cast<int32_t>(record.partition));
    positions.add_text(record.position);
    payloads.add_text(record.payload);
    reasons.add_text(record.reason);
  };
  for (const DeadRecord& record : fold.dead()) add(record, source);
  // An event that was well until its row refused it is filed by its event_id.
  for (const DeadRecord& record : merged.unplaced) add(record, "hunt_session");
  if (sources.size() == 0) return {};
  Result<PgRows> rows = postgres.run(
      "INSERT INTO loot_events_dead (source, partition, position, payload, reason) "
      "SELECT * FROM unnest($1, $2, $3, $4, $5) AS v (source, partition, position, payload, "
      "reason) "
      "ORDER BY source COLLATE \"C\", partition, position COLLATE \"C\" ON CONFLICT DO NOTHING",
      {sources, partitions, positions, payloads, reasons});
  if (!rows) return rows.error();
  merged.counts.dead = rows->touched();
  return {};
}

// All of the transaction but its beginning and its end; nothing where another aggregator inserted
// one of our rows.
Result<std::optional<Merged>> merge(PgLink& postgres, const Fold& fold, Sessions all,
                                    const std::string& source, DeadGoTo dead_go_to) {
  Result<int64_t> const forgotten_before_ms = share_forgotten_before(postgres);
  if (!forgotten_before_ms) return forgotten_before_ms.error();
  auto const slice_at = [&](size_t first) {
    return all.subspan(first, std::min(slice_sessions_max, all.size() - first));
  };
  std::vector<LockedRow> rows;
  for (size_t first = 0; first < all.size(); first += slice_sessions_max)
    if (Result<void> locked = lock_rows(postgres, slice_at(first), first, rows); !locked)
      return locked.error();

  Merged merged;
  Hours hours;
  std::span<const LockedRow> left(rows);
  for (size_t first = 0; first < all.size(); first += slice_sessions_max) {
    Sessions const sessions = slice_at(first);
    size_t mine = 0;
    while (mine < left.size() && left[mine].session < first + sessions.size()) ++mine;
    MergeSlice slice(postgres, fold, sessions, left.first(mine), first);
    left = left.subspan(mine);
    Result<bool> const ran = slice.run(*forgotten_before_ms);
    if (!ran) return ran.error();
    if (!*ran) return std::optional<Merged>();
    slice.add_to(hours);
    merged.counts += slice.counts();
    merged.unplaced.insert(merged.unplaced.end(), slice.unplaced().begin(), slice.unplaced().end());
  }
  if (dead_go_to == DeadGoTo::table) {
    if (Result<void> filed = file_dead(postgres, fold, source, merged); !filed)
      return filed.error();
    merged.unplaced.clear();
  }
  if (Result<void> written = hours.write(postgres); !written) return written.error();
  return std::optional(std::move(merged));
}

}  // namespace

Result<Merged> materialize(PgLink& postgres, const Fold& fold, const std::string& source,
                           DeadGoTo dead_go_to) {
  // Before the transaction begins: Postgres ends one whose aggregator is silent for long.
  std::vector<FoldedSession> const all = fold.sorted();
  for (uint64_t restarts = 0; restarts < limits::merge_tries_max; ++restarts) {
    if (Result<void> begun = postgres.begin(); !begun) return begun.error();
    Result<std::optional<Merged>> merged = merge(postgres, fold, all, source, dead_go_to);
    if (!merged) {
      postgres.rollback();
      return merged.error();
    }
    if (!*merged) {
      postgres.rollback();
      continue;
    }
    if (Result<void> committed = postgres.commit(); !committed) {
      postgres.rollback();
      return committed.error();
    }
    (*merged)->counts.restarts = restarts;
    return std::move(**merged);
  }
  return Error{
      fmt::format("postgres: other writers inserted the same rows of hunt_session {} times in a "
                  "row; the batch is tried again",
                  limits::merge_tries_max)};
}

}  // namespace huntd
