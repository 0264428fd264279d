// SPDX-License-Identifier: Apache-2.0
#include "reconcile/postgres_snapshot.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aggregator/sessions/session.h"

namespace huntd::reconcile {
namespace {

constexpr size_t page_rows = 5000;
constexpr const char* row_columns =
    "s.hunter_id, s.hunt_id, s.loot, s.loot_count, s.seen_upto, s.seen_beyond, s.generation, "
    "s.past, s.forgotten_generation";

// Calls `handle` for each row of `query`, which is fetched in pages.
template <class Handle>
Result<void> each_row(PgLink& postgres, const std::string& query, Handle handle) {
  if (Result<void> declared =
          postgres.execute_script(fmt::format("DECLARE reconcile NO SCROLL CURSOR FOR {}", query));
      !declared)
    return declared;
  for (;;) {
    Result<PgRows> rows = postgres.execute(fmt::format("FETCH {} FROM reconcile", page_rows));
    if (!rows) return rows.error();
    if (rows->count() == 0) return postgres.execute_script("CLOSE reconcile");
    for (int row = 0; row < rows->count(); ++row) handle(*rows, row);
  }
}

Result<LootCounts> read_loot(std::string_view json) {
  thread_local simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json.data(), json.size()).get(object) != simdjson::SUCCESS)
    return Error{"loot is not a JSON object"};
  LootCounts loot;
  for (auto [loot_id, value] : object) {
    uint64_t count = 0;
    if (value.get(count) != simdjson::SUCCESS) return Error{"loot has a value that is not a count"};
    if (count > 0) loot[std::string(loot_id)] = count;
  }
  return loot;
}

// Reads the columns `row_columns`, except the ids.
Result<void> read_row(const PgRows& rows, int row, RowSnapshot& into) {
  auto const number = [&](int column) { return static_cast<uint64_t>(rows.integer(row, column)); };
  Result<LootCounts> loot = read_loot(rows.text(row, 2));
  if (!loot) return loot.error();
  into.loot = std::move(*loot);
  into.loot_count = number(3);
  Result<SeqSet> seen = SeqSet::read(number(4), rows.text(row, 5));
  if (!seen) return seen.error();
  into.seen = std::move(*seen);
  into.generation = number(6);
  if (!rows.is_null(row, 7)) {
    Result<aggregator::SeenByGeneration> past = aggregator::read_past(rows.text(row, 7));
    if (!past) return past.error();
    into.past = std::move(*past);
  }
  into.forgotten_generation = number(8);
  return {};
}

void add_row(const PgRows& rows, int row, Snapshots& snapshots) {
  SessionSnapshot& session = snapshots.session(rows.text(row, 0), rows.text(row, 1));
  session.has_row = true;
  if (Result<void> const read = read_row(rows, row, session.row); !read)
    snapshots.unreadable.push_back(
        {fmt::format("row of hunter {} in hunt {}", session.hunter_id, session.hunt_id),
         read.error().message});
}

void add_waiting(std::string_view json, Snapshots& snapshots) {
  Result<LootEvent> event = read_loot_event(json);
  if (event)
    snapshots.session(event->hunter_id, event->hunt_id).row.waiting.push_back(std::move(*event));
  else
    snapshots.unreadable.push_back({"hunt_session_waiting", event.error().message});
}

Result<void> read_hunt_floors(PgLink& postgres, Snapshots& snapshots) {
  return each_row(postgres, "SELECT hunt_id, generation FROM hunt_floor",
                  [&](const PgRows& page, int row) {
                    snapshots.hunt_floors[std::string(page.text(row, 0))] =
                        static_cast<uint64_t>(page.integer(row, 1));
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

Result<void> read_all(PgLink& postgres, Snapshots& snapshots) {
  Result<void> read = each_row(postgres, fmt::format("SELECT {} FROM hunt_session s", row_columns),
                               [&](const PgRows& page, int row) { add_row(page, row, snapshots); });
  if (!read) return read;
  read = each_row(postgres, "SELECT event FROM hunt_session_waiting",
                  [&](const PgRows& page, int row) { add_waiting(page.text(row, 0), snapshots); });
  if (!read) return read;
  read = each_row(postgres, "SELECT hunt_id, loot_id, given FROM hunt_supply",
                  [&](const PgRows& page, int row) {
                    snapshots.supply(page.text(row, 0), page.text(row, 1)).counted =
                        static_cast<uint64_t>(page.integer(row, 2));
                  });
  if (read) read = read_hunt_floors(postgres, snapshots);
  if (!read) return read;
  std::vector<std::string_view> hunters;
  for (const SessionSnapshot& session : snapshots.sessions) hunters.push_back(session.hunter_id);
  return read_hunter_floors(postgres, std::move(hunters), snapshots);
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
  for (int row = 0; row < rows->count(); ++row) add_row(*rows, row, snapshots);
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

Result<void> read_expired_before(PgLink& postgres, Snapshots& snapshots) {
  return read_only(postgres, [&]() -> Result<void> {
    Result<PgRows> rows = postgres.execute(
        "SELECT floor(extract(epoch FROM expired_before) * 1000)::bigint FROM hunt_retention");
    if (!rows) return rows.error();
    if (rows->count() == 1) snapshots.expired_before_ms = rows->integer(0, 0);
    return {};
  });
}

Result<void> read_postgres(PgLink& postgres, Snapshots& snapshots) {
  return read_only(postgres, [&] { return read_all(postgres, snapshots); });
}

Result<void> read_rows_again(PgLink& postgres, std::span<const uint32_t> sessions,
                             Snapshots& snapshots) {
  return read_only(postgres, [&]() -> Result<void> {
    for (size_t first = 0; first < sessions.size(); first += page_rows) {
      std::span<const uint32_t> const page =
          sessions.subspan(first, std::min(page_rows, sessions.size() - first));
      if (Result<void> read = read_page_again(postgres, page, snapshots); !read) return read;
    }
    std::vector<std::string_view> hunters;
    for (uint32_t index : sessions) hunters.push_back(snapshots.sessions[index].hunter_id);
    if (Result<void> hunts = read_hunt_floors(postgres, snapshots); !hunts) return hunts;
    return read_hunter_floors(postgres, std::move(hunters), snapshots);
  });
}

}  // namespace huntd::reconcile
