// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/leaders.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <unordered_map>

#include "aggregator/postgres/schema.h"
#include "aggregator/sessions/aggregator_limits.h"
#include "aggregator/sessions/merge_lock.h"

namespace huntd::aggregator {
namespace {

using Of = PgArray::Of;

constexpr const char* raise_entries =
    "INSERT INTO hunt_leader_entry AS e (hunt_id, loot_count, last_loot_at, hunter_id) "
    "SELECT * FROM unnest($1, $2, $3, $4) AS v (hunt_id, loot_count, last_loot_at, hunter_id) "
    "ORDER BY hunt_id COLLATE \"C\" ON CONFLICT (hunt_id) DO UPDATE SET "
    "loot_count = excluded.loot_count, last_loot_at = excluded.last_loot_at, "
    "hunter_id = excluded.hunter_id "
    "WHERE excluded.loot_count > e.loot_count OR (excluded.loot_count = e.loot_count "
    "AND (excluded.last_loot_at, excluded.hunter_id) < (e.last_loot_at, e.hunter_id))";

PgArray one_text(std::string_view text) {
  PgArray array(Of::text);
  array.add_text(text);
  return array;
}

// Keeps the best keys, in any order, and returns the worst of them.
LeaderKey keep_best(std::vector<LeaderKey>& keys) {
  auto const better = [](const LeaderKey& a, const LeaderKey& b) { return a.better_than(b); };
  auto const worst = keys.begin() + static_cast<ptrdiff_t>(limits::leaders_kept - 1);
  std::nth_element(keys.begin(), worst, keys.end(), better);
  keys.resize(limits::leaders_kept);
  return keys.back();
}

// The body of a transaction. The entry becomes that of the last leader that is kept.
Result<bool> trim_hunt(PgLink& postgres, const std::string& hunt_id) {
  if (Result<void> locked = postgres.execute_script(fmt::format(lock_merges_shared, merge_lock));
      !locked)
    return locked.error();
  if (Result<void> const fine = check_version_in(postgres); !fine) return fine.error();
  PgArray const hunt = one_text(hunt_id);
  Result<PgRows> const last = postgres.execute(
      fmt::format("SELECT s.loot_count, floor(extract(epoch FROM s.last_loot_at) * 1000)::bigint, "
                  "s.hunter_id FROM hunt_leader l JOIN hunt_session s "
                  "ON s.hunter_id = l.hunter_id AND s.hunt_id = l.hunt_id "
                  "WHERE l.hunt_id = ($1)[1] "
                  "ORDER BY s.loot_count DESC, s.last_loot_at, s.hunter_id OFFSET {} LIMIT 1",
                  limits::leaders_kept - 1),
      {hunt});
  if (!last) return last.error();
  if (last->count() == 1) {
    PgArray counts(Of::int8), times(Of::timestamptz);
    counts.add_int8(last->integer(0, 0));
    times.add_timestamp_ms(last->integer(0, 1));
    Result<PgRows> const raised =
        postgres.execute(raise_entries, {hunt, counts, times, one_text(last->text(0, 2))});
    if (!raised) return raised.error();
  }
  Result<PgRows> const below = postgres.execute(
      "WITH below AS MATERIALIZED (SELECT s.hunter_id FROM hunt_leader_entry e "
      "  JOIN hunt_leader l ON l.hunt_id = e.hunt_id "
      "  JOIN hunt_session s ON s.hunter_id = l.hunter_id AND s.hunt_id = l.hunt_id "
      "  WHERE e.hunt_id = ($1)[1] AND (s.loot_count < e.loot_count OR (s.loot_count = "
      "  e.loot_count AND (s.last_loot_at, s.hunter_id) > (e.last_loot_at, e.hunter_id))) "
      "  FOR NO KEY UPDATE OF s SKIP LOCKED) "
      "DELETE FROM hunt_leader l USING below b "
      "WHERE l.hunt_id = ($1)[1] AND l.hunter_id = b.hunter_id",
      {hunt});
  if (!below) return below.error();
  return true;
}

}  // namespace

bool LeaderKey::better_than(const LeaderKey& other) const {
  if (loot_count != other.loot_count) return loot_count > other.loot_count;
  if (last_loot_at_ms != other.last_loot_at_ms) return last_loot_at_ms < other.last_loot_at_ms;
  return hunter_id < other.hunter_id;
}

Result<void> Leaders::read_entries(PgLink& postgres, Sessions sessions) {
  std::set<std::string_view> distinct;
  for (const BatchSession& session : sessions) distinct.insert(session.hunt_id);
  PgArray hunts(Of::text);
  for (std::string_view hunt_id : distinct) hunts.add_text(hunt_id);
  Result<PgRows> const rows = postgres.execute(
      "SELECT e.hunt_id, e.loot_count, floor(extract(epoch FROM e.last_loot_at) * 1000)::bigint, "
      "e.hunter_id FROM unnest($1) AS k (hunt_id) "
      "JOIN hunt_leader_entry e ON e.hunt_id = k.hunt_id COLLATE \"C\"",
      {hunts});
  if (!rows) return rows.error();
  for (int row = 0; row < rows->count(); ++row)
    entries_.emplace(rows->text(row, 0), LeaderKey{rows->integer(row, 1), rows->integer(row, 2),
                                                   std::string(rows->text(row, 3))});
  return {};
}

void Leaders::add(std::string_view hunt_id, LeaderKey row,
                  std::optional<int64_t> loot_count_before) {
  auto const entry = entries_.find(hunt_id);
  if (entry == entries_.end()) {
    if (loot_count_before) return;  // it is a leader already, like every hunter of the hunt
  } else {
    if (entry->second.better_than(row)) return;
    if (loot_count_before && *loot_count_before > entry->second.loot_count) return;
  }
  found_[std::string(hunt_id)].push_back(std::move(row));
}

Result<void> Leaders::write(PgLink& postgres) {
  if (found_.empty()) return {};
  PgArray hunts(Of::text), hunters(Of::text);
  PgArray entry_hunts(Of::text), counts(Of::int8), times(Of::timestamptz), entry_hunters(Of::text);
  for (auto& [hunt_id, keys] : found_) {
    std::vector<LeaderKey>& best = best_[hunt_id];
    best = keys;
    if (auto const earlier = committed_.find(hunt_id); earlier != committed_.end())
      best.insert(best.end(), earlier->second.begin(), earlier->second.end());
    if (best.size() > limits::leaders_kept) {
      LeaderKey const entry = keep_best(best);
      entry_hunts.add_text(hunt_id);
      counts.add_int8(entry.loot_count);
      times.add_timestamp_ms(entry.last_loot_at_ms);
      entry_hunters.add_text(entry.hunter_id);
      std::erase_if(keys, [&](const LeaderKey& key) { return entry.better_than(key); });
    }
    for (const LeaderKey& key : keys) {
      hunts.add_text(hunt_id);
      hunters.add_text(key.hunter_id);
    }
  }
  Result<PgRows> written = postgres.execute(
      "INSERT INTO hunt_leader (hunt_id, hunter_id) SELECT * FROM unnest($1, $2) AS v (hunt_id, "
      "hunter_id) ORDER BY hunt_id COLLATE \"C\", hunter_id COLLATE \"C\" ON CONFLICT DO NOTHING",
      {hunts, hunters});
  if (written && entry_hunts.size() > 0)
    written = postgres.execute(raise_entries, {entry_hunts, counts, times, entry_hunters});
  if (!written) return written.error();
  return {};
}

size_t likely_leaders_first(std::vector<BatchSession>& sessions) {
  std::unordered_map<std::string_view, std::vector<uint32_t>> counts;  // of events, by hunt
  for (const BatchSession& session : sessions)
    counts[session.hunt_id].push_back(session.event_count);
  // Of a hunt with many: sessions with more events than `least`, and so many that have just that.
  struct Bound {
    uint32_t least = 0;
    size_t room = 0;
  };
  std::unordered_map<std::string_view, Bound> bounds;
  for (auto& [hunt_id, of_hunt] : counts) {
    if (of_hunt.size() <= limits::leaders_kept) continue;
    auto const last = of_hunt.begin() + static_cast<ptrdiff_t>(limits::leaders_kept - 1);
    std::nth_element(of_hunt.begin(), last, of_hunt.end(), std::greater<>());
    bounds[hunt_id] = {*last, static_cast<size_t>(std::count(of_hunt.begin(), last + 1, *last))};
  }
  auto const is_likely = [&](const BatchSession& session) {
    auto const bound = bounds.find(session.hunt_id);
    if (bound == bounds.end() || session.event_count < bound->second.least) return false;
    if (session.event_count > bound->second.least) return true;
    if (bound->second.room == 0) return false;
    bound->second.room -= 1;
    return true;
  };
  std::vector<BatchSession> likely;
  std::vector<BatchSession> others;
  for (const BatchSession& session : sessions)
    (is_likely(session) ? likely : others).push_back(session);
  size_t const count = likely.size();
  likely.insert(likely.end(), others.begin(), others.end());
  sessions = std::move(likely);
  return count;
}

std::vector<std::string> Leaders::grown() const {
  std::vector<std::string> hunts;
  for (const auto& [hunt_id, keys] : found_) hunts.push_back(hunt_id);
  return hunts;
}

Result<void> trim_leaders(PgLink& postgres, const std::vector<std::string>& hunts) {
  if (hunts.empty()) return {};
  PgArray looked_at(Of::text);
  for (const std::string& hunt_id : hunts) looked_at.add_text(hunt_id);
  Result<PgRows> const large = postgres.execute(
      fmt::format("SELECT hunt_id FROM hunt_leader WHERE hunt_id = ANY ($1) GROUP BY hunt_id "
                  "HAVING count(*) > {}",
                  limits::leaders_max),
      {looked_at});
  if (!large) return large.error();
  for (int row = 0; row < large->count(); ++row) {
    std::string const hunt_id(large->text(row, 0));
    Result<bool> const trimmed =
        in_transaction(postgres, [&] { return trim_hunt(postgres, hunt_id); });
    if (!trimmed) return trimmed.error();
  }
  return {};
}

Result<Refilled> refill_leaders(PgLink& postgres) {
  return in_transaction(postgres, [&]() -> Result<Refilled> {
    Result<PgRows> const locked =
        postgres.execute(fmt::format("SELECT pg_try_advisory_xact_lock({})", merge_lock));
    if (!locked) return locked.error();
    if (locked->text(0, 0) != "t") return Refilled::busy;
    if (Result<void> const fine = check_version_in(postgres); !fine) return fine.error();
    // Retention leaves the leaders whose rows it deletes.
    Result<PgRows> const gone = postgres.execute(
        "DELETE FROM hunt_leader l WHERE NOT EXISTS (SELECT FROM hunt_session s "
        "WHERE s.hunter_id = l.hunter_id AND s.hunt_id = l.hunt_id)");
    if (!gone) return gone.error();
    Result<PgRows> const few = postgres.execute(fmt::format(
        "SELECT coalesce(string_agg(e.hunt_id, ' '), '') FROM hunt_leader_entry e WHERE "
        "(SELECT count(*) FROM hunt_leaderboard b WHERE b.hunt_id = e.hunt_id) < {}",
        limits::leaders_shown_min));
    if (!few) return few.error();
    if (few->text(0, 0).empty()) return Refilled::enough;
    PgArray const hunts = one_text(few->text(0, 0));
    for (const char* table : {"hunt_leader", "hunt_leader_entry"})
      if (Result<PgRows> const deleted = postgres.execute(
              fmt::format("DELETE FROM {} WHERE hunt_id = ANY (string_to_array(($1)[1], ' '))",
                          table),
              {hunts});
          !deleted)
        return deleted.error();
    Result<PgRows> const filled = postgres.execute(
        fmt::format(
            "WITH first AS MATERIALIZED (SELECT * FROM (SELECT hunt_id, hunter_id, loot_count, "
            "  last_loot_at, row_number() OVER (PARTITION BY hunt_id ORDER BY loot_count DESC, "
            "  last_loot_at, hunter_id) AS place FROM hunt_session "
            "  WHERE hunt_id = ANY (string_to_array(($1)[1], ' '))) AS s WHERE place <= {}), "
            "leaders AS (INSERT INTO hunt_leader (hunt_id, hunter_id) "
            "  SELECT hunt_id, hunter_id FROM first) "
            "INSERT INTO hunt_leader_entry (hunt_id, loot_count, last_loot_at, hunter_id) "
            "SELECT hunt_id, loot_count, last_loot_at, hunter_id FROM first WHERE place = {}",
            limits::leaders_kept, limits::leaders_kept),
        {hunts});
    if (!filled) return filled.error();
    return Refilled::done;
  });
}

}  // namespace huntd::aggregator
