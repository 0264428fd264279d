// SPDX-License-Identifier: Apache-2.0
#include "huntctl/restore.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "huntctl/held_hash.h"
#include "huntctl/hunt_states.h"
#include "huntctl/redis_walk.h"
#include "wire/redis_keys.h"

namespace huntd::huntctl {
namespace {

constexpr uint64_t rows_per_page = 500;

// Changes a `held` hash if its fields are those that were read.
//   KEYS   held
//   ARGV   number of fields read, then each with its value; number of fields to set, then each with
//          its value; then the fields to remove
//   reply  1 changed, 0 another field or value was there
constexpr const char* restore_held = R"lua(
local read = tonumber(ARGV[1])
local now = redis.call('HGETALL', KEYS[1])
if #now ~= 2 * read then return 0 end
local values = {}
for i = 1, #now, 2 do values[now[i]] = now[i + 1] end
for i = 2, 2 * read, 2 do
  if values[ARGV[i]] ~= ARGV[i + 1] then return 0 end
end
local set = 2 * read + 2
local remove = set + 2 * tonumber(ARGV[set]) + 1
-- unpack() is limited by the stack of Lua.
for from = set + 1, remove - 1, 1000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, from, math.min(from + 999, remove - 1)))
end
if remove <= #ARGV then redis.call('HDEL', KEYS[1], unpack(ARGV, remove)) end
return 1
)lua";

// Raises the units taken of a supply to those given, as units that have no field.
//   KEYS   supply
//   ARGV   units given, '1' to change it
//   reply  units that were missing
constexpr const char* restore_supply = R"lua(
local taken = redis.call('HLEN', KEYS[1])
local before = redis.call('HGET', KEYS[1], '#before')
if before then taken = taken - 1 + tonumber(before) end
local missing = tonumber(ARGV[1]) - taken
if missing <= 0 then return 0 end
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[1], '#before', string.format('%.0f', tonumber(before or '0') + missing))
end
return missing
)lua";

std::string session_name(const TableRow& row, std::string_view reason) {
  return fmt::format("hunter {} in hunt {}: {}", row.hunter_id, row.hunt_id, reason);
}

// The words of an EVALSHA of restore_held. The views are of `held`, `plan` and `numbers`.
std::vector<std::string_view> words_of(std::string_view script, std::string_view key,
                                       const HeldHash& held, const RestorePlan& plan,
                                       const std::pair<std::string, std::string>& numbers) {
  std::vector<std::string_view> words{"EVALSHA", script, "1", key, numbers.first};
  for (const auto& [field, value] : held.fields) words.insert(words.end(), {field, value});
  words.push_back(numbers.second);
  for (const auto& [field, value] : plan.set) words.insert(words.end(), {field, value});
  words.insert(words.end(), plan.remove.begin(), plan.remove.end());
  return words;
}

}  // namespace

Result<uint64_t> Restore::rows() {
  Result<PgRows> const rows =
      postgres_.execute("SELECT count(*) FROM hunt_session WHERE ($1)[1] = '' OR hunt_id = ($1)[1]",
                        {text_parameter(hunt_id_)});
  if (!rows) return rows.error();
  return static_cast<uint64_t>(rows->integer(0, 0));
}

Result<RestoreCounts> Restore::walk(bool apply, Progress& progress) {
  counts_ = {};
  // Floors first: what is committed from now on is of a generation above them.
  if (Result<void> floors = walk_floors(apply); !floors) return floors.error();
  if (Result<void> supplies = walk_supplies(apply); !supplies) return supplies.error();
  if (Result<void> rows = walk_rows(apply, progress); !rows) return rows.error();
  return std::move(counts_);
}

Result<void> Restore::walk_floors(bool apply) {
  Result<std::map<std::string, uint64_t>> floors = read_hunt_floors(postgres_);
  if (!floors) return floors.error();
  floors_ = std::move(*floors);
  Result<std::map<std::string, HuntState>> const states = read_hunt_states(redis_);
  if (!states) return states.error();
  for (const auto& [hunt_id, floor] : floors_) {
    if (!hunt_id_.empty() && hunt_id != hunt_id_) continue;
    auto const found = states->find(hunt_id);
    HuntState const state = found == states->end() ? HuntState() : found->second;
    if (state.floor >= floor) continue;
    counts_.floors += 1;
    HuntState raised = state;
    raised.floor = floor;
    if (!apply) continue;
    if (Result<void> written = write_hunt_state_of(redis_, hunt_id, state, raised); !written)
      return written;
  }
  return {};
}

Result<void> Restore::walk_supplies(bool apply) {
  Result<std::string> const script = load_script(redis_, restore_supply);
  if (!script) return script.error();
  // A purge cannot delete the supplies meanwhile.
  Result<bool> const done = in_transaction(postgres_, [&]() -> Result<bool> {
    if (Result<void> locked = lock_floors(postgres_); !locked) return locked.error();
    Result<PgRows> const rows = postgres_.execute(
        "SELECT hunt_id, loot_id, given FROM hunt_supply "
        "WHERE ($1)[1] = '' OR hunt_id = ($1)[1] ORDER BY hunt_id, loot_id",
        {text_parameter(hunt_id_)});
    if (!rows) return rows.error();
    for (int row = 0; row < rows->count(); ++row) {
      std::string_view const hunt_id = rows->text(row, 0), loot_id = rows->text(row, 1);
      // Listed first: a supply that has units is never listed by a later run.
      if (apply)
        if (Result<RedisReply> added =
                redis_.execute({"SADD", keys::supplies_of(hunt_id), loot_id});
            !added)
          return added.error();
      Result<RedisReply> const missing =
          redis_.execute({"EVALSHA", *script, "1", keys::supply(hunt_id, loot_id),
                          rows->text(row, 2), apply ? "1" : "0"});
      if (!missing) return missing.error();
      if ((*missing)->integer <= 0) continue;
      counts_.supplies += 1;
      counts_.units += static_cast<uint64_t>((*missing)->integer);
    }
    return true;
  });
  if (!done) return done.error();
  return {};
}

Result<void> Restore::walk_rows(bool apply, Progress& progress) {
  std::string hunter_id, hunt_id;
  for (bool more = true; more;) {
    // A page is one transaction: a purge, or a hunter's deletion, cannot delete its rows meanwhile.
    Result<bool> const done = in_transaction(postgres_, [&]() -> Result<bool> {
      if (apply)
        if (Result<void> locked = lock_floors(postgres_); !locked) return locked.error();
      Result<std::vector<TableRow>> const rows =
          rows_after(postgres_, hunter_id, hunt_id, hunt_id_, rows_per_page);
      if (!rows) return rows.error();
      if (Result<void> handled = page(*rows, apply); !handled) return handled.error();
      counts_.rows += rows->size();
      more = rows->size() == rows_per_page;
      if (more) hunter_id = rows->back().hunter_id, hunt_id = rows->back().hunt_id;
      return true;
    });
    if (!done) return done.error();
    progress.at(counts_.rows);
  }
  return {};
}

void Restore::count(const TableRow& row, const RestorePlan& plan) {
  if (plan.kind == RestorePlan::Kind::later) counts_.later.add(session_name(row, plan.reason));
  if (plan.kind == RestorePlan::Kind::differs) counts_.differs.add(session_name(row, plan.reason));
  if (plan.kind != RestorePlan::Kind::restore) return;
  counts_.sessions += 1;
  counts_.loot += plan.loot;
}

Result<void> Restore::page(const std::vector<TableRow>& rows, bool apply) {
  struct Change {
    const TableRow* row;
    HeldHash held;
    RestorePlan plan;
  };
  std::vector<Change> changes;
  Result<void> const read = each_reply(
      redis_, rows.size(),
      [&](size_t i) {
        redis_.append({"HGETALL", keys::held(rows[i].hunter_id, rows[i].hunt_id)});
      },
      [&](size_t i, const redisReply& reply) -> Result<void> {
        Result<HeldHash> held = HeldHash::read(pairs_of(reply));
        RestorePlan plan{.kind = RestorePlan::Kind::differs, .reason = {}, .set = {}, .remove = {}};
        if (!held)
          plan.reason = "the hash cannot be read: " + held.error().message;
        else if (!rows[i].session)
          plan.reason = "the row cannot be read: " + rows[i].session.error().message;
        else
          plan = plan_restore(*held, *rows[i].session, floors_[rows[i].hunt_id]);
        if (plan.kind == RestorePlan::Kind::restore && apply)
          changes.push_back({&rows[i], std::move(*held), std::move(plan)});
        else
          count(rows[i], plan);
        return {};
      });
  if (!read || changes.empty()) return read;
  Result<std::string> const script = load_script(redis_, restore_held);
  if (!script) return script.error();
  return each_reply(
      redis_, changes.size(),
      [&](size_t i) {
        const Change& change = changes[i];
        PoolString const key = keys::held(change.row->hunter_id, change.row->hunt_id);
        std::pair const numbers(std::to_string(change.held.fields.size()),
                                std::to_string(change.plan.set.size()));
        redis_.append(words_of(*script, key, change.held, change.plan, numbers));
      },
      [&](size_t i, const redisReply& reply) -> Result<void> {
        RestorePlan plan = std::move(changes[i].plan);
        if (reply.integer != 1) {
          plan.kind = RestorePlan::Kind::later;
          plan.reason = "the hunter played meanwhile";
        }
        count(*changes[i].row, plan);
        return {};
      });
}

}  // namespace huntd::huntctl
