// SPDX-License-Identifier: Apache-2.0
#include "huntctl/forget.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "aggregator/sessions/merge_lock.h"
#include "base/hash.h"
#include "huntctl/held_hash.h"
#include "huntctl/held_removal.h"
#include "huntctl/redis_walk.h"
#include "huntctl/session_table.h"
#include "huntctl/text_table.h"
#include "wire/generation.h"
#include "wire/redis_keys.h"

namespace huntd::huntctl {
namespace {

// Dead letters of a hunter: the payload is an event of the hunter, or the reason names the hunter.
constexpr const char* dead_letters_of_hunter =
    "(position(convert_to('\"hunter_id\":\"' || ($1)[1] || '\"', 'UTF8') in payload) > 0 "
    "OR position(convert_to('\"hunter_id\": \"' || ($1)[1] || '\"', 'UTF8') in payload) > 0 "
    "OR position('hunter ' || ($1)[1] || ' ' in reason) > 0)";

Result<void> read_tables(PgLink& postgres, std::string_view hunter_id, HunterSurvey& survey) {
  Result<PgRows> const rows = postgres.execute(
      fmt::format("SELECT (SELECT count(*) FROM hunt_session WHERE hunter_id = ($1)[1]), "
                  "(SELECT count(*) FROM hunt_session_past WHERE hunter_id = ($1)[1]), "
                  "(SELECT count(*) FROM hunt_session_waiting WHERE hunter_id = ($1)[1]), "
                  "(SELECT count(*) FROM loot_events_dead WHERE {}), "
                  "(SELECT coalesce(max(generation), 0) FROM hunt_session "
                  " WHERE hunter_id = ($1)[1])",
                  dead_letters_of_hunter),
      {text_parameter(hunter_id)});
  if (!rows) return rows.error();
  auto const number = [&](int column) { return static_cast<uint64_t>(rows->integer(0, column)); };
  survey.rows = number(0);
  survey.past_rows = number(1);
  survey.waiting_events = number(2);
  survey.dead_letters = number(3);
  survey.newest_generation = std::max(survey.newest_generation, number(4));
  return {};
}

// Sorts a page of keys of the hunter.
struct HunterKeys {
  Keys held;
  Keys done;
};
HunterKeys keys_of(const Keys& page, std::string_view hunter_id) {
  HunterKeys sorted;
  for (const std::string& key : page) {
    std::optional<HunterKey> const named = read_hunter_key(key);
    if (named && named->hunter_id == hunter_id)
      (named->is_held ? sorted.held : sorted.done).push_back(key);
  }
  return sorted;
}

Result<void> add_page(RedisClient& redis, const HunterKeys& page, HunterSurvey& survey) {
  Result<void> const held = each_reply(
      redis, page.held.size(),
      [&](size_t i) {
        redis.append({"HGETALL", page.held[i]});
      },
      [&](size_t, const redisReply& reply) -> Result<void> {
        survey.hunts += 1;
        Result<HeldHash> const hash = HeldHash::read(pairs_of(reply));
        if (!hash) return {};  // it is deleted without its figures
        survey.loot += hash->units();
        survey.newest_generation = std::max(survey.newest_generation, hash->newest_generation());
        return {};
      });
  if (!held) return held;
  return each_reply(
      redis, page.done.size(),
      [&](size_t i) {
        redis.append({"PTTL", page.done[i]});
      },
      [&](size_t, const redisReply& ttl) -> Result<void> {
        survey.responses += 1;
        if (ttl.integer == -1) survey.unsettled += 1;
        return {};
      });
}

// Counts the units that the hunter has reserved in one supply.
Result<void> add_reserved(RedisClient& redis, std::string_view hunt_id, std::string_view loot_id,
                          std::string_view hunter_id, HunterSurvey& survey) {
  Result<RedisReply> const events =
      redis.execute({"ZRANGEBYSCORE", keys::supply_pending(hunt_id, loot_id), "-inf", "+inf"});
  if (!events) return events.error();
  PoolString const supply = keys::supply(hunt_id, loot_id);
  return each_reply(
      redis, (*events)->elements,
      [&](size_t i) {
        redis.append({"HGET", supply, text_of((*events)->element[i])});
      },
      [&](size_t, const redisReply& state) -> Result<void> {
        // STATE REQUEST HUNTER KEY
        std::string_view const text = text_of(&state);
        size_t const request = text.find(' ');
        size_t const hunter = text.find(' ', request + 1);
        if (request == std::string_view::npos || hunter == std::string_view::npos) return {};
        std::string_view const owner = text.substr(hunter + 1);
        if (owner.substr(0, owner.find(' ')) == hunter_id) survey.reserved += 1;
        return {};
      });
}

Result<void> read_reserved(RedisClient& redis, std::string_view hunter_id, HunterSurvey& survey) {
  auto const add_reserved_of = [&](const Keys& page) -> Result<void> {
    for (const std::string& key : page) {
      size_t const tag = key.find('{');
      size_t const colon = key.find(':', tag);
      if (tag == std::string::npos || colon == std::string::npos) continue;
      std::string const hunt_id = key.substr(tag + 1, colon - tag - 1);
      std::optional<std::string> const loot_id = supply_of_key(key, hunt_id);
      if (!loot_id) continue;
      if (Result<void> read = add_reserved(redis, hunt_id, *loot_id, hunter_id, survey); !read)
        return read;
    }
    return {};
  };
  return each_key(redis, "supply_pending:*", add_reserved_of, [&] { survey.reserved = 0; });
}

}  // namespace

Result<HunterSurvey> survey_hunter(RedisClient& redis, PgLink& postgres,
                                   std::string_view hunter_id) {
  HunterSurvey survey;
  if (Result<void> tables = read_tables(postgres, hunter_id, survey); !tables)
    return tables.error();
  HunterSurvey const of_tables = survey;
  Result<void> const keys = each_key(
      redis, pattern_of_hunter(hunter_id),
      [&](const Keys& page) { return add_page(redis, keys_of(page, hunter_id), survey); },
      [&] { survey = of_tables; });
  if (!keys) return keys.error();
  Result<void> const outbox =
      each_outbox_event(redis, {bucket_of(hunter_id)}, [&](std::string_view key, std::string_view) {
        if (key == hunter_id) survey.outbox_events += 1;
      });
  if (!outbox) return outbox.error();
  if (Result<void> reserved = read_reserved(redis, hunter_id, survey); !reserved)
    return reserved.error();
  return survey;
}

std::vector<std::string> reasons_to_wait(const HunterSurvey& survey) {
  std::vector<std::string> reasons;
  if (survey.outbox_events > 0)
    reasons.push_back(
        fmt::format("{} events of the hunter wait in the outbox, for Kafka or the "
                    "aggregator",
                    count_text(survey.outbox_events)));
  if (survey.unsettled + survey.reserved > 0)
    reasons.push_back(
        fmt::format("{} units of shared supplies are reserved for the hunter; huntd "
                    "resolves them within a minute",
                    count_text(std::max(survey.unsettled, survey.reserved))));
  return reasons;
}

Result<uint64_t> delete_rows_of_hunter(PgLink& postgres, std::string_view hunter_id,
                                       uint64_t floor) {
  PgArray const hunter = text_parameter(hunter_id);
  return in_transaction(postgres, [&]() -> Result<uint64_t> {
    if (Result<void> locked = lock_merges(postgres); !locked) return locked.error();
    Result<PgRows> const raised = postgres.execute(
        fmt::format("INSERT INTO hunter_floor AS f (hunter_hash, generation) "
                    "SELECT {}, greatest(($2)[1], (SELECT max(generation) FROM hunt_session "
                    " WHERE hunter_id = ($1)[1])) "
                    "ON CONFLICT (hunter_hash) DO UPDATE SET generation = "
                    "greatest(f.generation, excluded.generation) RETURNING generation",
                    fmt::format(fmt::runtime(aggregator::hunter_hash_expression), "($1)[1]")),
        {hunter, number_parameter(floor)});
    if (!raised) return raised.error();
    for (const char* table :
         {"hunt_session", "hunt_session_past", "hunt_session_waiting", "hunt_leader"})
      if (Result<PgRows> deleted = postgres.execute(
              fmt::format("DELETE FROM {} WHERE hunter_id = ($1)[1]", table), {hunter});
          !deleted)
        return deleted.error();
    // The entry moves up among equals, which it may at any time (aggregator/postgres/leaders.h).
    Result<PgRows> const entries = postgres.execute(
        "UPDATE hunt_leader_entry SET hunter_id = '' WHERE hunter_id = ($1)[1]", {hunter});
    if (!entries) return entries.error();
    Result<PgRows> const dead = postgres.execute(
        fmt::format("DELETE FROM loot_events_dead WHERE {}", dead_letters_of_hunter), {hunter});
    if (!dead) return dead.error();
    return static_cast<uint64_t>(raised->integer(0, 0));
  });
}

Result<uint64_t> delete_keys_of_hunter(RedisClient& redis, std::string_view hunter_id,
                                       uint64_t floor) {
  uint64_t deleted = 0;
  Result<void> const scanned =
      each_key(redis, pattern_of_hunter(hunter_id), [&](const Keys& page) -> Result<void> {
        HunterKeys const found = keys_of(page, hunter_id);
        Result<uint64_t> const held = delete_held_up_to(redis, found.held, floor);
        if (!held) return held.error();
        deleted += *held;
        Result<uint64_t> const done = unlink(redis, found.done);
        if (!done) return done.error();
        deleted += *done;
        return {};
      });
  if (!scanned) return scanned.error();
  return deleted;
}

}  // namespace huntd::huntctl
