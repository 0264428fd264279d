// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/merge_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "aggregator/postgres/schema.h"
#include "aggregator/sessions/merge_lock.h"

namespace huntd::aggregator {
namespace {

constexpr size_t hunters_per_statement = 32'768;

std::optional<uint64_t> floor_in(const std::map<std::string, uint64_t, std::less<>>& floors,
                                 std::string_view id) {
  if (floors.empty()) return std::nullopt;
  auto const found = floors.find(id);
  return found == floors.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

std::optional<uint64_t> Floors::of(std::string_view hunter_id, std::string_view hunt_id) const {
  return std::max(floor_in(hunts_, hunt_id), floor_in(hunters_, hunter_id));
}

void Floors::add(const PgRows& rows, ById& floors) {
  for (int row = 0; row < rows.count(); ++row)
    floors.emplace(rows.text(row, 0), static_cast<uint64_t>(rows.integer(row, 1)));
}

Result<void> Floors::read_hunts(PgLink& postgres, Sessions sessions) {
  std::set<std::string_view> distinct;
  for (const BatchSession& session : sessions) distinct.insert(session.hunt_id);
  PgArray hunts(PgArray::Of::text);
  for (std::string_view hunt_id : distinct) hunts.add_text(hunt_id);
  Result<PgRows> rows = postgres.execute(
      "SELECT f.hunt_id, f.generation FROM unnest($1) AS k (hunt_id) "
      "JOIN hunt_floor f ON f.hunt_id = k.hunt_id COLLATE \"C\"",
      {hunts});
  if (!rows) return rows.error();
  add(*rows, hunts_);
  return {};
}

Result<void> Floors::read_hunters(PgLink& postgres, Sessions sessions) {
  static const std::string statement = fmt::format(
      "SELECT k.hunter_id, f.generation FROM unnest($1) AS k (hunter_id) "
      "JOIN hunter_floor f ON f.hunter_hash = {} COLLATE \"C\"",
      fmt::format(hunter_hash_expression, "k.hunter_id"));
  size_t at = 0;
  while (at < sessions.size()) {
    PgArray hunters(PgArray::Of::text);
    std::string_view last;  // sessions of one hunter stand together
    for (; at < sessions.size() && hunters.size() < hunters_per_statement; ++at) {
      if (sessions[at].hunter_id == last) continue;
      last = sessions[at].hunter_id;
      hunters.add_text(last);
    }
    Result<PgRows> rows = postgres.execute(statement, {hunters});
    if (!rows) return rows.error();
    add(*rows, hunters_);
  }
  return {};
}

Result<MergeRules> lock_merge_rules(PgLink& postgres, Sessions sessions) {
  // Two statements, because the snapshot of the second must be taken after the lock.
  if (Result<void> locked = postgres.execute_script(fmt::format(lock_merges_shared, merge_lock));
      !locked)
    return locked.error();
  Result<PgRows> rows = postgres.execute(
      "SELECT floor(extract(epoch FROM expired_before) * 1000)::bigint, "
      "(SELECT max(version) FROM hunt_schema_version), "
      "EXISTS (SELECT FROM hunt_floor), EXISTS (SELECT FROM hunter_floor) FROM hunt_retention");
  if (!rows) return rows.error();
  if (rows->count() != 1)
    return Error{
        "postgres: table hunt_retention must have exactly one row; restore it (see "
        "docs/aggregator.md#retention)"};
  if (!rows->is_null(0, 1))
    if (Result<void> const fine = check_version(static_cast<int>(rows->integer(0, 1))); !fine)
      return fine.error();
  MergeRules rules;
  rules.expired_before_ms = rows->integer(0, 0);
  if (rows->text(0, 2) == "t")
    if (Result<void> read = rules.floors.read_hunts(postgres, sessions); !read) return read.error();
  if (rows->text(0, 3) == "t")
    if (Result<void> read = rules.floors.read_hunters(postgres, sessions); !read)
      return read.error();
  return rules;
}

}  // namespace huntd::aggregator
