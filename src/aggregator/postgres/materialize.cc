// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/materialize.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "aggregator/postgres/hourly_counts.h"
#include "aggregator/postgres/merge_rules.h"
#include "aggregator/postgres/merge_slice.h"
#include "aggregator/postgres/supply_counts.h"
#include "aggregator/sessions/aggregator_limits.h"

namespace huntd::aggregator {
namespace {

using Of = PgArray::Of;

// The number of sessions that one statement reads or writes. Statements, sorts and joins of this
// size fit into memory.
constexpr size_t slice_sessions_max = 32'768;

Result<void> insert_dead_letters(PgLink& postgres, const Batch& batch, const std::string& source,
                                 Merged& merged) {
  PgArray sources(Of::text), partitions(Of::int4), positions(Of::text);
  PgArray payloads(Of::bytea), reasons(Of::text);
  auto add = [&](const DeadLetter& letter, const std::string& from) {
    sources.add_text(from);
    partitions.add_int4(static_cast<int32_t>(letter.partition));
    positions.add_text(letter.position);
    payloads.add_text(letter.payload);
    reasons.add_text(letter.reason);
  };
  for (const DeadLetter& letter : batch.dead_letters()) add(letter, source);
  for (const DeadLetter& letter : merged.dead_letters) add(letter, "hunt_session");
  if (sources.size() == 0) return {};
  Result<PgRows> rows = postgres.execute(
      "INSERT INTO loot_events_dead (source, partition, position, payload, reason) "
      "SELECT * FROM unnest($1, $2, $3, $4, $5) AS v (source, partition, position, payload, "
      "reason) "
      "ORDER BY source COLLATE \"C\", partition, position COLLATE \"C\" ON CONFLICT DO NOTHING",
      {sources, partitions, positions, payloads, reasons});
  if (!rows) return rows.error();
  merged.counts.dead_letters = rows->affected();
  return {};
}

// The body of the merge's transaction. Returns nothing if another aggregator inserted one of the
// rows.
Result<std::optional<Merged>> merge(PgLink& postgres, const Batch& batch, Sessions all,
                                    const std::string& source,
                                    DeadLetterTarget dead_letter_target) {
  Result<MergeRules> const rules = lock_merge_rules(postgres, all);
  if (!rules) return rules.error();
  auto const slice_at = [&](size_t first) {
    return all.subspan(first, std::min(slice_sessions_max, all.size() - first));
  };
  std::vector<LockedRow> rows;
  for (size_t first = 0; first < all.size(); first += slice_sessions_max)
    if (Result<void> locked = lock_rows(postgres, slice_at(first), first, rows); !locked)
      return locked.error();

  Merged merged;
  HourlyCounts hourly_counts;
  SupplyCounts supply_counts;
  std::span<const LockedRow> rows_left(rows);
  for (size_t first = 0; first < all.size(); first += slice_sessions_max) {
    Sessions const sessions = slice_at(first);
    size_t slice_rows = 0;
    while (slice_rows < rows_left.size() && rows_left[slice_rows].session < first + sessions.size())
      ++slice_rows;
    MergeSlice slice(postgres, batch, sessions, rows_left.first(slice_rows), first, *rules);
    rows_left = rows_left.subspan(slice_rows);
    Result<bool> const done = slice.merge();
    if (!done) return done.error();
    if (!*done) return std::optional<Merged>();
    slice.add_to(hourly_counts, supply_counts);
    merged.counts += slice.counts();
    merged.dead_letters.insert(merged.dead_letters.end(), slice.dead_letters().begin(),
                               slice.dead_letters().end());
  }
  if (dead_letter_target == DeadLetterTarget::table) {
    if (Result<void> inserted = insert_dead_letters(postgres, batch, source, merged); !inserted)
      return inserted.error();
    merged.dead_letters.clear();
  }
  if (Result<void> written = hourly_counts.write(postgres); !written) return written.error();
  if (Result<void> written = supply_counts.write(postgres); !written) return written.error();
  return std::optional(std::move(merged));
}

}  // namespace

Result<Merged> materialize(PgLink& postgres, const Batch& batch, const std::string& source,
                           DeadLetterTarget dead_letter_target) {
  // Before the transaction, because PostgreSQL ends a transaction whose client is silent for long.
  std::vector<BatchSession> const all = batch.sorted();
  for (uint64_t restarts = 0; restarts < limits::merge_tries_max; ++restarts) {
    Result<std::optional<Merged>> merged = in_transaction(
        postgres, [&] { return merge(postgres, batch, all, source, dead_letter_target); });
    if (!merged) return merged.error();
    if (!*merged) continue;
    (*merged)->counts.restarts = restarts;
    return std::move(**merged);
  }
  return Error{fmt::format(
      "postgres: other writers inserted rows of this batch into hunt_session {} times in a row",
      limits::merge_tries_max)};
}

}  // namespace huntd::aggregator
