// SPDX-License-Identifier: Apache-2.0
#include "reconcile/postgres_snapshot.h"

#include <fmt/format.h>
#include <simdjson.h>

namespace huntd::reconcile {
namespace {

// Calls `handle` for each row of `query`, which is fetched in pages.
template <class Handle>
Result<void> each_row(PgLink& postgres, const char* query, Handle handle) {
  if (Result<void> declared =
          postgres.execute_script(fmt::format("DECLARE reconcile NO SCROLL CURSOR FOR {}", query));
      !declared)
    return declared;
  for (;;) {
    Result<PgRows> rows = postgres.execute("FETCH 5000 FROM reconcile");
    if (!rows) return rows.error();
    if (rows->count() == 0) return postgres.execute_script("CLOSE reconcile");
    for (int row = 0; row < rows->count(); ++row) handle(*rows, row);
  }
}

void add_row(const PgRows& rows, int row, Snapshots& snapshots) {
  SessionSnapshot& session = snapshots.session(rows.text(row, 0), rows.text(row, 1));
  session.has_row = true;
  auto malformed = [&](std::string reason) {
    snapshots.unreadable.push_back(
        {fmt::format("row of hunter {} in hunt {}", session.hunter_id, session.hunt_id),
         std::move(reason)});
  };
  thread_local simdjson::dom::parser parser;
  simdjson::dom::object loot;
  std::string_view const json = rows.text(row, 2);
  if (parser.parse(json.data(), json.size()).get(loot) != simdjson::SUCCESS)
    return malformed("loot is not a JSON object");
  for (auto [loot_id, value] : loot) {
    uint64_t count = 0;
    if (value.get(count) != simdjson::SUCCESS)
      return malformed("loot has a value that is not a count");
    session.row.loot[std::string(loot_id)] = count;
  }
  session.row.loot_count = static_cast<uint64_t>(rows.integer(row, 3));
  Result<SeqSet> seen =
      SeqSet::read(static_cast<uint64_t>(rows.integer(row, 4)), rows.text(row, 5));
  if (!seen) return malformed(seen.error().message);
  session.row.seen = *seen;
}

Result<void> read_all(PgLink& postgres, Snapshots& snapshots) {
  Result<void> rows = each_row(
      postgres,
      "SELECT hunter_id, hunt_id, loot, loot_count, seen_upto, seen_beyond FROM hunt_session",
      [&](const PgRows& page, int row) { add_row(page, row, snapshots); });
  if (!rows) return rows;
  return each_row(
      postgres, "SELECT event FROM hunt_session_waiting", [&](const PgRows& page, int row) {
        Result<LootEvent> event = read_loot_event(page.text(row, 0));
        if (event)
          snapshots.session(event->hunter_id, event->hunt_id)
              .row.waiting.push_back(std::move(*event));
        else
          snapshots.unreadable.push_back({"hunt_session_waiting", event.error().message});
      });
}

// Calls `body` in a read-only transaction with one snapshot.
template <class Body>
Result<void> read_only(PgLink& postgres, Body body) {
  if (Result<void> connected = postgres.connect(); !connected) return connected;
  Result<void> started = postgres.execute_script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  if (!started) return started;
  Result<void> read = body();
  if (!read && postgres.sqlstate() == "42P01")
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
        "SELECT floor(extract(epoch FROM forgotten_before) * 1000)::bigint FROM hunt_retention");
    if (!rows) return rows.error();
    if (rows->count() == 1) snapshots.expired_before_ms = rows->integer(0, 0);
    return {};
  });
}

Result<void> read_postgres(PgLink& postgres, Snapshots& snapshots) {
  return read_only(postgres, [&] { return read_all(postgres, snapshots); });
}

}  // namespace huntd::reconcile
