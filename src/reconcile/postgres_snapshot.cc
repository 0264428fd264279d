// SPDX-License-Identifier: Apache-2.0
#include "reconcile/postgres_snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace huntd::reconcile {
namespace {

constexpr size_t page_rows = 5000;
constexpr size_t page_rows_first = 100;
constexpr size_t page_bytes = 4 << 20;
constexpr size_t page_rows_again = 1000;  // sessions that are read again
constexpr const char* row_columns =
    "s.hunter_id, s.hunt_id, s.loot, s.loot_count, s.seen_upto, s.seen_beyond, s.generation, "
    "s.past, s.forgotten_generation, s.added, s.taken";

// Calls `handle` for each row of `query`, which is fetched in pages. A page has about as many rows
// as page_bytes have room for.
template <class Handle>
Result<void> each_row(PgLink& postgres, const std::string& query, Handle handle) {
  if (Result<void> declared =
          postgres.execute_script(fmt::format("DECLARE reconcile NO SCROLL CURSOR FOR {}", query));
      !declared)
    return declared;
  for (size_t wanted = page_rows_first;;) {
    Result<PgRows> rows = postgres.execute(fmt::format("FETCH {} FROM reconcile", wanted));
    if (!rows) return rows.error();
    if (rows->count() == 0) return postgres.execute_script("CLOSE reconcile");
    size_t bytes = 0;
    for (int row = 0; row < rows->count(); ++row) {
      for (int column = 0; column < rows->columns(); ++column)
        bytes += rows->text(row, column).size();
      if (Result<void> handled = handle(*rows, row); !handled) return handled;
    }
    size_t const row_bytes = bytes / static_cast<size_t>(rows->count()) + 1;
    wanted = std::clamp<size_t>(page_bytes / row_bytes, 1, page_rows);
  }
}

// Of the columns `row_columns`, except the ids.
RowColumns columns_of(const PgRows& rows, int row) {
  auto const number = [&](int column) { return static_cast<uint64_t>(rows.integer(row, column)); };
  return {.loot = rows.text(row, 2),
          .loot_count = rows.integer(row, 3),
          .seen_upto = number(4),
          .seen_beyond = rows.text(row, 5),
          .generation = number(6),
          .past = rows.text(row, 7),
          .forgotten_generation = number(8),
          .added = number(9),
          .taken = number(10)};
}

// Ids contain no quote.
std::string where_of(const Scope& scope) {
  std::string where;
  if (!scope.hunter_id.empty()) where += fmt::format(" AND s.hunter_id = '{}'", scope.hunter_id);
  if (!scope.hunt_id.empty()) where += fmt::format(" AND s.hunt_id = '{}'", scope.hunt_id);
  return " WHERE true" + where;
}

Result<void> read_hunt_floors(PgLink& postgres, Snapshots& snapshots) {
  return each_row(postgres, "SELECT hunt_id, generation FROM hunt_floor",
                  [&](const PgRows& page, int row) -> Result<void> {
                    snapshots.hunt_floors[std::string(page.text(row, 0))] =
                        static_cast<uint64_t>(page.integer(row, 1));
                    return {};
                  });
}

// hunter_floor has hashes of hunter_ids, so the server hashes `hunters`.
Result<void> read_hunter_floors(PgLink& postgres, std::vector<std::string_view> hunters,
                                Snapshots& snapshots) {
  Result<PgRows> any = postgres.execute("SELECT EXISTS (SELECT FROM hunter_floor)");
  if (!any) return any.error();
  snapshots.hunters_deleted = any->text(0, 0) == "t";
  if (!snapshots.hunters_deleted) return {};
  std::sort(hunters.begin(), hunters.end());
  hunters.erase(std::unique(hunters.begin(), hunters.end()), hunters.end());
  for (size_t first = 0; first < hunters.size(); first += page_rows) {
    PgArray page(PgArray::Of::text);
    for (size_t i = first; i < std::min(first + page_rows, hunters.size()); ++i)
      page.add_text(hunters[i]);
    Result<PgRows> rows = postgres.execute(
        "SELECT v.hunter_id, f.generation FROM unnest($1) AS v (hunter_id) JOIN hunter_floor f "
        "ON f.hunter_hash = encode(sha256(convert_to(v.hunter_id, 'UTF8')), 'hex') COLLATE \"C\"",
        {page});
    if (!rows) return rows.error();
    for (int row = 0; row < rows->count(); ++row)
      snapshots.hunter_floors[std::string(rows->text(row, 0))] =
          static_cast<uint64_t>(rows->integer(row, 1));
  }
  return {};
}

Result<void> read_all(PgLink& postgres, const ReadSoFar& so_far, Reading& reading) {
  std::string const where = where_of(reading.scope());
  uint64_t count = 0;
  Result<void> read = each_row(
      postgres, fmt::format("SELECT {} FROM hunt_session s{}", row_columns, where),
      [&](const PgRows& page, int row) {
        so_far(++count);
        return reading.add_row(page.text(row, 0), page.text(row, 1), columns_of(page, row));
      });
  if (!read) return read;
  read =
      each_row(postgres, "SELECT s.event FROM hunt_session_waiting s" + where,
               [&](const PgRows& page, int row) { return reading.add_waiting(page.text(row, 0)); });
  if (!read || !reading.scope().hunter_id.empty()) return read;
  return each_row(postgres, "SELECT s.hunt_id, s.loot_id, s.given FROM hunt_supply s" + where,
                  [&](const PgRows& page, int row) -> Result<void> {
                    reading.supplies.supply(page.text(row, 0), page.text(row, 1)).counted =
                        static_cast<uint64_t>(page.integer(row, 2));
                    return {};
                  });
}

// Replaces the rows of these sessions.
Result<void> read_page_again(PgLink& postgres, std::span<const uint32_t> sessions,
                             Snapshots& snapshots) {
  PgArray hunters(PgArray::Of::text);
  PgArray hunts(PgArray::Of::text);
  for (uint32_t index : sessions) {
    SessionSnapshot& session = snapshots.sessions[index];
    session.has_row = false;
    session.row = {};
    hunters.add_text(session.hunter_id);
    hunts.add_text(session.hunt_id);
  }
  constexpr const char* of_these =
      "FROM unnest($1, $2) AS v (hunter_id, hunt_id) JOIN {} s "
      "ON s.hunter_id = v.hunter_id COLLATE \"C\" AND s.hunt_id = v.hunt_id COLLATE \"C\"";
  Result<PgRows> rows = postgres.execute(
      fmt::format("SELECT {} {}", row_columns, fmt::format(of_these, "hunt_session")),
      {hunters, hunts});
  if (!rows) return rows.error();
  for (int row = 0; row < rows->count(); ++row)
    set_row(columns_of(*rows, row), snapshots.session(rows->text(row, 0), rows->text(row, 1)),
            snapshots);
  Result<PgRows> waiting = postgres.execute(
      fmt::format("SELECT s.event {}", fmt::format(of_these, "hunt_session_waiting")),
      {hunters, hunts});
  if (!waiting) return waiting.error();
  for (int row = 0; row < waiting->count(); ++row) add_waiting(waiting->text(row, 0), snapshots);
  return {};
}

// Calls `body` in a read-only transaction with one snapshot.
template <class Body>
Result<void> read_only(PgLink& postgres, Body body) {
  if (Result<void> connected = postgres.connect(); !connected) return connected;
  Result<void> started = postgres.execute_script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  if (!started) return started;
  Result<void> read = body();
  // No such table, no such column.
  if (!read && (postgres.sqlstate() == "42P01" || postgres.sqlstate() == "42703"))
    read = Error{
        "postgres: the tables of hunt-aggregator do not exist, or have an older version: start "
        "hunt-aggregator once"};
  postgres.rollback();
  return read;
}

}  // namespace

Result<void> read_expired_before(PgLink& postgres, StoreFacts& facts) {
  return read_only(postgres, [&]() -> Result<void> {
    Result<PgRows> rows = postgres.execute(
        "SELECT floor(extract(epoch FROM expired_before) * 1000)::bigint FROM hunt_retention");
    if (!rows) return rows.error();
    if (rows->count() == 1) facts.expired_before_ms = rows->integer(0, 0);
    return {};
  });
}

Result<void> read_postgres(PgLink& postgres, const ReadSoFar& so_far, Reading& reading) {
  return read_only(postgres, [&] { return read_all(postgres, so_far, reading); });
}

Result<void> read_floors(PgLink& postgres, Snapshots& snapshots) {
  return read_only(postgres, [&]() -> Result<void> {
    std::vector<std::string_view> hunters;
    for (const SessionSnapshot& session : snapshots.sessions) hunters.push_back(session.hunter_id);
    if (Result<void> hunts = read_hunt_floors(postgres, snapshots); !hunts) return hunts;
    return read_hunter_floors(postgres, std::move(hunters), snapshots);
  });
}

Result<void> read_rows_again(PgLink& postgres, std::span<const uint32_t> sessions,
                             Snapshots& snapshots) {
  return read_only(postgres, [&]() -> Result<void> {
    for (size_t first = 0; first < sessions.size(); first += page_rows_again) {
      std::span<const uint32_t> const page =
          sessions.subspan(first, std::min(page_rows_again, sessions.size() - first));
      if (Result<void> read = read_page_again(postgres, page, snapshots); !read) return read;
    }
    std::vector<std::string_view> hunters;
    for (uint32_t index : sessions) hunters.push_back(snapshots.sessions[index].hunter_id);
    if (Result<void> hunts = read_hunt_floors(postgres, snapshots); !hunts) return hunts;
    return read_hunter_floors(postgres, std::move(hunters), snapshots);
  });
}

Result<bool> has_dead_letter(PgLink& postgres, const RecordPlace& place) {
  bool found = false;
  Result<void> const read = read_only(postgres, [&]() -> Result<void> {
    PgArray position(PgArray::Of::text);
    position.add_text(place.position);
    Result<PgRows> rows = postgres.execute(
        fmt::format("SELECT 1 FROM loot_events_dead d JOIN unnest($1) AS v (position) "
                    "ON d.position = v.position COLLATE \"C\" "
                    "WHERE d.source = 'outbox' AND d.partition = {}",
                    place.partition),
        {position});
    if (!rows) return rows.error();
    found = rows->count() > 0;
    return {};
  });
  if (!read) return read.error();
  return found;
}

}  // namespace huntd::reconcile
