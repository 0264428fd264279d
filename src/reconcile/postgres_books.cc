#include "reconcile/postgres_books.h"

#include <fmt/format.h>
#include <simdjson.h>

namespace huntd {
namespace {

// Runs `page` on the rows of `query`, some thousand at a time.
template <class Row>
Result<void> each_row(PgLink& postgres, const char* query, Row row_read) {
  if (Result<void> declared =
          postgres.run_script(fmt::format("DECLARE reconcile NO SCROLL CURSOR FOR {}", query));
      !declared)
    return declared;
  for (;;) {
    Result<PgRows> rows = postgres.run("FETCH 5000 FROM reconcile");
    if (!rows) return rows.error();
    if (rows->count() == 0) return postgres.run_script("CLOSE reconcile");
    for (int row = 0; row < rows->count(); ++row) row_read(*rows, row);
  }
}

void add_row(const PgRows& rows, int row, Books& books) {
  SessionBook& session = books.session(rows.text(row, 0), rows.text(row, 1));
  session.has_row = true;
  auto malformed = [&](std::string reason) {
    books.unreadable.push_back(
        {fmt::format("row of hunter {} in hunt {}", session.hunter_id, session.hunt_id),
         std::move(reason)});
  };
  thread_local simdjson::dom::parser parser;
  simdjson::dom::object loot;
  std::string_view const json = rows.text(row, 2);
  if (parser.parse(json.data(), json.size()).get(loot) != simdjson::SUCCESS)
    return malformed("loot is not an object");
  for (auto [loot_id, value] : loot) {
    uint64_t count = 0;
    if (value.get(count) != simdjson::SUCCESS) return malformed("loot holds what is no count");
    session.row.loot[std::string(loot_id)] = count;
  }
  session.row.loot_count = static_cast<uint64_t>(rows.integer(row, 3));
  Result<SeqSet> seen =
      SeqSet::read(static_cast<uint64_t>(rows.integer(row, 4)), rows.text(row, 5));
  if (!seen) return malformed(seen.error().message);
  session.row.seen = *seen;
}

Result<void> read_all(PgLink& postgres, Books& books) {
  Result<void> rows = each_row(
      postgres,
      "SELECT hunter_id, hunt_id, loot, loot_count, seen_upto, seen_beyond FROM hunt_session",
      [&](const PgRows& page, int row) { add_row(page, row, books); });
  if (!rows) return rows;
  return each_row(
      postgres, "SELECT event FROM hunt_session_waiting", [&](const PgRows& page, int row) {
        Result<LootEvent> event = read_loot_event(page.text(row, 0));
        if (event)
          books.session(event->hunter_id, event->hunt_id).row.waiting.push_back(std::move(*event));
        else
          books.unreadable.push_back({"hunt_session_waiting", event.error().message});
      });
}

// Runs `body` on one snapshot.
template <class Body>
Result<void> read_only(PgLink& postgres, Body body) {
  if (Result<void> connected = postgres.connect(); !connected) return connected;
  Result<void> begun = postgres.run_script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  if (!begun) return begun;
  Result<void> read = body();
  if (!read && postgres.sqlstate() == "42P01")
    read = Error{
        "postgres: tables of hunt-aggregator are not there, or of an older version: start "
        "hunt-aggregator once"};
  postgres.rollback();
  return read;
}

}  // namespace

Result<void> read_forgotten_before(PgLink& postgres, Books& books) {
  return read_only(postgres, [&]() -> Result<void> {
    Result<PgRows> rows = postgres.run(
        "SELECT floor(extract(epoch FROM forgotten_before) * 1000)::bigint FROM hunt_retention");
    if (!rows) return rows.error();
    if (rows->count() == 1) books.forgotten_before_ms = rows->integer(0, 0);
    return {};
  });
}

Result<void> read_postgres(PgLink& postgres, Books& books) {
  return read_only(postgres, [&] { return read_all(postgres, books); });
}

}  // namespace huntd
