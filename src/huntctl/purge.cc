// SPDX-License-Identifier: Apache-2.0
#include "huntctl/purge.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "huntctl/held_hash.h"
#include "huntctl/held_removal.h"
#include "huntctl/hunt_states.h"
#include "huntctl/redis_walk.h"
#include "huntctl/session_table.h"
#include "huntctl/text_table.h"
#include "wire/loot_event.h"
#include "wire/redis_keys.h"

namespace huntd::huntctl {
namespace {

// The supplies of a hunt: those that it is known to have drawn on, and those that have keys.
Result<std::set<std::string>> supplies_of_hunt(RedisClient& redis, std::string_view hunt_id) {
  std::set<std::string> loot_ids;
  Result<RedisReply> const members = redis.execute({"SMEMBERS", keys::supplies_of(hunt_id)});
  if (!members) return members.error();
  for (size_t i = 0; i < (*members)->elements; ++i)
    loot_ids.emplace(text_of((*members)->element[i]));
  Result<void> const scanned =
      each_key(redis, pattern_of_supplies(hunt_id), [&](const Keys& page) -> Result<void> {
        for (const std::string& key : page)
          if (std::optional<std::string> loot_id = supply_of_key(key, hunt_id))
            loot_ids.insert(std::move(*loot_id));
        return {};
      });
  if (!scanned) return scanned.error();
  return loot_ids;
}

class Surveyor {
 public:
  Surveyor(RedisClient& redis, PgLink& postgres, std::string_view hunt_id, Progress& progress)
      : redis_(redis), postgres_(postgres), hunt_id_(hunt_id), progress_(progress) {}

  Result<PurgeSurvey> run() {
    if (Result<void> tables = read_tables(); !tables) return tables.error();
    PurgeSurvey const of_tables = survey_;
    Result<void> const keys = each_key(
        redis_, pattern_of_hunt(hunt_id_), [this](const Keys& page) { return add_page(page); },
        [&] { survey_ = of_tables; });
    if (!keys) return keys.error();
    Result<std::set<std::string>> const supplies = supplies_of_hunt(redis_, hunt_id_);
    if (!supplies) return supplies.error();
    survey_.supplies = supplies->size();
    Result<void> const outbox =
        each_outbox_event(redis_, all_buckets(), [this](std::string_view, std::string_view event) {
          Result<LootEventView> const read = view_loot_event(event);
          if (read && read->hunt_id == hunt_id_) survey_.outbox_events += 1;
        });
    if (!outbox) return outbox.error();
    return std::move(survey_);
  }

 private:
  Result<void> read_tables();
  Result<void> add_page(const Keys& page);
  Result<void> read_held(const std::vector<std::string>& hunter_ids);
  void compare(const std::string& hunter_id, const HeldHash& held, const TableRow* row);

  RedisClient& redis_;
  PgLink& postgres_;
  std::string_view hunt_id_;
  Progress& progress_;
  PurgeSurvey survey_;
};

Result<void> Surveyor::read_tables() {
  Result<PgRows> const rows = postgres_.execute(
      "SELECT count(*), coalesce(sum(loot_count), 0)::bigint, coalesce(max(generation), 0), "
      "coalesce((SELECT generation FROM hunt_floor WHERE hunt_id = ($1)[1]), 0), "
      "(SELECT count(*) FROM hunt_session_past WHERE hunt_id = ($1)[1]), "
      // As in the aggregator: rows of a hunt that has given nothing since may have been deleted.
      "(SELECT expired_before > to_timestamp(0) AND NOT EXISTS (SELECT FROM hunt_loot_hour h "
      " WHERE h.hunt_id = ($1)[1] AND h.hour + interval '1 hour' > expired_before) "
      " FROM hunt_retention) "
      "FROM hunt_session WHERE hunt_id = ($1)[1]",
      {text_parameter(hunt_id_)});
  if (!rows) return rows.error();
  auto const number = [&](int column) { return static_cast<uint64_t>(rows->integer(0, column)); };
  survey_.rows = number(0);
  survey_.row_loot = rows->integer(0, 1);
  survey_.newest_generation = number(2);
  survey_.floor = number(3);
  survey_.archived = number(4);
  survey_.rows_have_expired = rows->text(0, 5) == "t";
  return {};
}

Result<void> Surveyor::add_page(const Keys& page) {
  std::vector<std::string> hunter_ids;
  for (const std::string& key : page) {
    std::optional<HunterKey> const named = read_hunter_key(key);
    if (!named || named->hunt_id != hunt_id_) continue;
    if (named->is_held)
      hunter_ids.push_back(named->hunter_id);
    else
      survey_.responses += 1;
  }
  if (Result<void> read = read_held(hunter_ids); !read) return read;
  progress_.at(survey_.hunters + survey_.responses);
  return {};
}

Result<void> Surveyor::read_held(const std::vector<std::string>& hunter_ids) {
  if (hunter_ids.empty()) return {};
  Result<std::vector<TableRow>> const rows = rows_of(postgres_, hunt_id_, hunter_ids);
  if (!rows) return rows.error();
  std::map<std::string_view, const TableRow*> by_hunter;
  for (const TableRow& row : *rows) by_hunter[row.hunter_id] = &row;
  return each_reply(
      redis_, hunter_ids.size(),
      [&](size_t i) {
        redis_.append({"HGETALL", keys::held(hunter_ids[i], hunt_id_)});
      },
      [&](size_t i, const redisReply& reply) -> Result<void> {
        auto const row = by_hunter.find(hunter_ids[i]);
        Result<HeldHash> const held = HeldHash::read(pairs_of(reply));
        survey_.hunters += 1;
        if (held)
          compare(hunter_ids[i], *held, row == by_hunter.end() ? nullptr : row->second);
        else
          survey_.unreadable.add(hunter_ids[i]);
        return {};
      });
}

void Surveyor::compare(const std::string& hunter_id, const HeldHash& held, const TableRow* row) {
  survey_.loot += held.units();
  survey_.newest_generation = std::max(survey_.newest_generation, held.newest_generation());
  if (row == nullptr && held.reached().empty()) return;
  if (row == nullptr && survey_.rows_have_expired)
    survey_.expired += 1;
  else if (row == nullptr)
    survey_.uncounted.add(hunter_id);
  else if (!row->session)
    survey_.unreadable.add(hunter_id);
  else if (uncounted(held, *row->session))
    survey_.uncounted.add(hunter_id);
}

// The names of some supplies, removed from everything that lists them, and their keys.
Result<uint64_t> delete_supplies(RedisClient& redis, std::string_view hunt_id,
                                 const std::set<std::string>& loot_ids) {
  Keys doomed;
  for (const std::string& loot_id : loot_ids) {
    std::string const name = fmt::format("{}:{}", hunt_id, loot_id);
    redis.append({"ZREM", keys::supplies_drawn(keys::supply_shard(name)), name});
    redis.append({"SREM", keys::supplies, name});
    for (int i = 0; i < 2; ++i)
      if (Result<RedisReply> removed = redis.read(); !removed) return removed.error();
    doomed.emplace_back(keys::supply(hunt_id, loot_id));
    doomed.emplace_back(keys::supply_pending(hunt_id, loot_id));
    doomed.emplace_back(keys::supply_limit(hunt_id, loot_id));
  }
  Result<uint64_t> deleted = unlink(redis, doomed);
  if (!deleted) return deleted;
  // Last: it names the supplies for a purge that is repeated.
  Result<uint64_t> const list = unlink(redis, {std::string(keys::supplies_of(hunt_id))});
  if (!list) return list;
  return *deleted + *list;
}

}  // namespace

Result<PurgeSurvey> survey_hunt(RedisClient& redis, PgLink& postgres, std::string_view hunt_id,
                                Progress& progress) {
  return Surveyor(redis, postgres, hunt_id, progress).run();
}

std::vector<std::string> reasons_to_wait(const PurgeSurvey& survey, const HuntState& state,
                                         int64_t now_ms, int64_t settle_ms, bool incomplete) {
  std::vector<std::string> reasons;
  if (purge_unfinished(state)) {
    // It has waited, and it has archived the rows.
    if (survey.floor >= state.floor) return reasons;
  } else if (int64_t const left_ms = state.closed_at_ms + settle_ms - now_ms; left_ms > 0) {
    reasons.push_back(fmt::format("a core may still award loot for {} s", (left_ms + 999) / 1000));
  }
  if (incomplete) return reasons;
  if (survey.outbox_events > 0)
    reasons.push_back(
        fmt::format("{} events wait in the outbox", count_text(survey.outbox_events)));
  if (!survey.uncounted.empty())
    reasons.push_back(fmt::format("the table has not counted all loot of {} hunters: {}",
                                  count_text(survey.uncounted.count()), survey.uncounted.text()));
  if (!survey.unreadable.empty())
    reasons.push_back(fmt::format("the hash or the row of {} hunters cannot be read: {}",
                                  count_text(survey.unreadable.count()), survey.unreadable.text()));
  return reasons;
}

Result<void> purge_tables(PgLink& postgres, std::string_view hunt_id, uint64_t floor,
                          bool delete_rows) {
  constexpr const char* archive =
      "WITH gone AS (DELETE FROM hunt_session WHERE hunt_id = ($1)[1] RETURNING *) "
      "INSERT INTO hunt_session_past (hunter_id, hunt_id, loot, loot_count, first_loot_at, "
      "last_loot_at, bundle, seen_upto, seen_beyond, generation, past, forgotten_generation, more, "
      "added, taken) "
      "SELECT hunter_id, hunt_id, loot, loot_count, first_loot_at, last_loot_at, bundle, "
      "seen_upto, seen_beyond, generation, past, forgotten_generation, more, added, taken FROM gone";
  std::vector<const char*> statements = {"DELETE FROM hunt_session_waiting WHERE hunt_id = ($1)[1]",
                                         "DELETE FROM hunt_supply WHERE hunt_id = ($1)[1]",
                                         "DELETE FROM hunt_leader WHERE hunt_id = ($1)[1]",
                                         "DELETE FROM hunt_leader_entry WHERE hunt_id = ($1)[1]"};
  if (delete_rows) {
    statements.push_back("DELETE FROM hunt_session WHERE hunt_id = ($1)[1]");
    statements.push_back("DELETE FROM hunt_loot_hour WHERE hunt_id = ($1)[1]");
  } else {
    statements.push_back(archive);
  }
  PgArray const hunt = text_parameter(hunt_id);
  Result<bool> const done = in_transaction(postgres, [&]() -> Result<bool> {
    if (Result<void> locked = lock_merges(postgres); !locked) return locked.error();
    Result<PgRows> const later = postgres.execute(
        "SELECT count(*) FROM hunt_session WHERE hunt_id = ($1)[1] AND generation > ($2)[1]",
        {hunt, number_parameter(floor)});
    if (!later) return later.error();
    if (later->integer(0, 0) > 0)
      return Error{"the hunt was opened meanwhile: close it, and run the command again"};
    Result<PgRows> const raised = postgres.execute(
        "INSERT INTO hunt_floor AS f (hunt_id, generation) VALUES (($1)[1], ($2)[1]) "
        "ON CONFLICT (hunt_id) DO UPDATE SET generation = "
        "greatest(f.generation, excluded.generation)",
        {hunt, number_parameter(floor)});
    if (!raised) return raised.error();
    for (const char* statement : statements)
      if (Result<PgRows> changed = postgres.execute(statement, {hunt}); !changed)
        return changed.error();
    return true;
  });
  if (!done) return done.error();
  return {};
}

Result<uint64_t> purge_keys(RedisClient& redis, std::string_view hunt_id, uint64_t floor,
                            Progress& progress) {
  uint64_t deleted = 0;
  Result<void> const scanned =
      each_key(redis, pattern_of_hunt(hunt_id), [&](const Keys& page) -> Result<void> {
        Keys held;
        Keys responses;
        for (const std::string& key : page) {
          std::optional<HunterKey> const named = read_hunter_key(key);
          if (named && named->hunt_id == hunt_id)
            (named->is_held ? held : responses).push_back(key);
        }
        // A core that stood still may have committed after the floor was raised: that is counted
        // as of the next season, so it stays.
        Result<uint64_t> const hashes = delete_held_up_to(redis, held, floor);
        if (!hashes) return hashes.error();
        Result<uint64_t> const unlinked = unlink(redis, responses);
        if (!unlinked) return unlinked.error();
        deleted += *hashes + *unlinked;
        progress.at(deleted);
        return {};
      });
  if (!scanned) return scanned.error();
  Result<std::set<std::string>> const supplies = supplies_of_hunt(redis, hunt_id);
  if (!supplies) return supplies.error();
  Result<uint64_t> const more = delete_supplies(redis, hunt_id, *supplies);
  if (!more) return more;
  return deleted + *more;
}

}  // namespace huntd::huntctl
