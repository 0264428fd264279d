// SPDX-License-Identifier: Apache-2.0
#include "huntctl/session_table.h"

#include <fmt/format.h>

#include "aggregator/sessions/merge_lock.h"
#include "drivers/peer_timeout.h"

namespace huntd::huntctl {
namespace {

using Of = PgArray::Of;

// The schema with generations, floors, leaders and units. A later one may have columns that an archived
// row would lose.
constexpr int64_t schema_version = 5;

constexpr const char* row_columns =
    "s.hunter_id, s.hunt_id, s.loot, s.seen_upto, s.seen_beyond, s.generation, "
    "coalesce(s.past::text, ''), s.forgotten_generation, s.added, s.taken";

std::vector<TableRow> read_rows(const PgRows& rows) {
  std::vector<TableRow> read;
  auto const number = [&](int row, int column) {
    return static_cast<uint64_t>(rows.integer(row, column));
  };
  for (int row = 0; row < rows.count(); ++row) {
    aggregator::SessionColumns const columns{.loot = rows.text(row, 2),
                                             .seen_upto = number(row, 3),
                                             .seen_beyond = rows.text(row, 4),
                                             .generation = number(row, 5),
                                             .past = rows.text(row, 6),
                                             .forgotten_generation = number(row, 7),
                                             .added = number(row, 8),
                                             .taken = number(row, 9)};
    read.push_back({std::string(rows.text(row, 0)), std::string(rows.text(row, 1)),
                    aggregator::Session::read(columns)});
  }
  return read;
}

}  // namespace

Result<void> connect_tables(PgLink& postgres) {
  // The server too ends what this client does not wait for.
  if (uint32_t const timeout_ms = statement_timeout_ms(); timeout_ms > 0)
    postgres.set_statement_timeout_ms(timeout_ms);
  if (Result<void> connected = postgres.connect(); !connected) return connected;
  Result<PgRows> const version =
      postgres.execute("SELECT coalesce(max(version), 0) FROM hunt_schema_version");
  bool const missing = !version && postgres.sqlstate() == "42P01";
  if (!version && !missing) return version.error();
  if (missing || version->integer(0, 0) < schema_version)
    return Error{
        "postgres: the tables of hunt-aggregator do not exist, or have an older version: start "
        "hunt-aggregator once"};
  if (version->integer(0, 0) > schema_version)
    return Error{fmt::format(
        "postgres: the tables have version {}, and this huntctl can change version {}: use the "
        "huntctl of the hunt-aggregator that created them",
        version->integer(0, 0), schema_version)};
  return {};
}

PgArray text_parameter(std::string_view text) {
  PgArray array(Of::text);
  array.add_text(text);
  return array;
}

PgArray number_parameter(uint64_t number) {
  PgArray array(Of::int8);
  array.add_int8(static_cast<int64_t>(number));
  return array;
}

Result<void> lock_merges(PgLink& postgres) {
  return postgres.execute_script(
      fmt::format(aggregator::lock_merges_exclusively, aggregator::merge_lock));
}

Result<void> lock_floors(PgLink& postgres) {
  return postgres.execute_script(
      fmt::format(aggregator::lock_merges_shared, aggregator::merge_lock));
}

Result<std::vector<TableRow>> rows_of(PgLink& postgres, std::string_view hunt_id,
                                      const std::vector<std::string>& hunter_ids) {
  PgArray hunters(Of::text);
  for (const std::string& hunter_id : hunter_ids) hunters.add_text(hunter_id);
  Result<PgRows> const rows = postgres.execute(
      fmt::format("SELECT {} FROM unnest($1) AS k (hunter_id) JOIN hunt_session s "
                  "ON s.hunter_id = k.hunter_id COLLATE \"C\" AND s.hunt_id = ($2)[1]",
                  row_columns),
      {hunters, text_parameter(hunt_id)});
  if (!rows) return rows.error();
  return read_rows(*rows);
}

Result<std::vector<TableRow>> rows_after(PgLink& postgres, std::string_view hunter_id,
                                         std::string_view hunt_id, std::string_view only_hunt,
                                         uint64_t rows_max) {
  Result<PgRows> const rows = postgres.execute(
      fmt::format("SELECT {} FROM hunt_session s "
                  "WHERE (s.hunter_id, s.hunt_id) > (($1)[1] COLLATE \"C\", ($2)[1] COLLATE \"C\") "
                  "AND (($3)[1] = '' OR s.hunt_id = ($3)[1]) "
                  "ORDER BY s.hunter_id, s.hunt_id LIMIT ($4)[1]",
                  row_columns),
      {text_parameter(hunter_id), text_parameter(hunt_id), text_parameter(only_hunt),
       number_parameter(rows_max)});
  if (!rows) return rows.error();
  return read_rows(*rows);
}

Result<std::map<std::string, uint64_t>> read_hunt_floors(PgLink& postgres) {
  Result<PgRows> const rows = postgres.execute("SELECT hunt_id, generation FROM hunt_floor");
  if (!rows) return rows.error();
  std::map<std::string, uint64_t> floors;
  for (int row = 0; row < rows->count(); ++row)
    floors[std::string(rows->text(row, 0))] = static_cast<uint64_t>(rows->integer(row, 1));
  return floors;
}

}  // namespace huntd::huntctl
