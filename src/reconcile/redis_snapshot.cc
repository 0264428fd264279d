// SPDX-License-Identifier: Apache-2.0
#include "reconcile/redis_snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/read_text.h"
#include "drivers/driver_limits.h"
#include "wire/generation.h"
#include "wire/redis_keys.h"

namespace huntd::reconcile {
namespace {

constexpr std::string_view scan_count = "1000";

// Returns hunter_id and hunt_id of "held:{bN}:hunter_id:hunt_id"; nothing for any other Redis key.
std::optional<std::pair<std::string_view, std::string_view>> held_ids(std::string_view key) {
  size_t const hunt_at = key.rfind(':');
  if (hunt_at == std::string_view::npos || hunt_at == 0) return std::nullopt;
  size_t const hunter_at = key.rfind(':', hunt_at - 1);
  if (hunter_at == std::string_view::npos) return std::nullopt;
  std::string_view const hunter_id = key.substr(hunter_at + 1, hunt_at - hunter_at - 1);
  std::string_view const hunt_id = key.substr(hunt_at + 1);
  if (!is_id(hunter_id) || !is_id(hunt_id) || keys::held(hunter_id, hunt_id) != key)
    return std::nullopt;
  return std::pair(hunter_id, hunt_id);
}

// Adds a field of `held`; returns false if it is malformed.
bool add_field(std::string_view field, std::string_view value, HeldSnapshot& held) {
  if (field == keys::gen_field) {
    std::optional<HeldGeneration> const present = read_held_generation(value);
    if (present) held.generation = present->generation;
    return present.has_value();
  }
  bool const is_was = field.starts_with(keys::was_prefix);
  if (field.starts_with(keys::field_mark) && !is_was && field != keys::seq_field &&
      field != keys::before_field)
    return true;  // of a later huntd
  std::optional<uint64_t> const count = read_number<uint64_t>(value);
  if (!count) return false;
  if (is_was) {
    std::optional<uint64_t> const generation =
        read_generation(field.substr(keys::was_prefix.size()));
    if (generation) held.was[*generation] = *count;
    return generation.has_value();
  }
  if (field == keys::seq_field)
    held.seq = *count;
  else if (field == keys::before_field)
    held.before = *count;
  else if (*count > 0)
    held.loot[std::string(field)] = *count;
  return true;
}

// Replaces `held` of the session.
void add_held(std::string_view key, const redisReply* fields, SessionSnapshot& session,
              Snapshots& snapshots) {
  session.held = {};
  session.has_held = fields->elements > 0;
  for (size_t i = 0; i + 1 < fields->elements; i += 2) {
    std::string_view const field = text_of(fields->element[i]);
    if (!add_field(field, text_of(fields->element[i + 1]), session.held))
      snapshots.unreadable.push_back(
          {std::string(key), fmt::format("field {} is malformed", field.substr(0, 64))});
  }
}

// Calls `handle` with the names of the keys of this type that match, page by page. SCAN may return
// a key twice.
template <class Handle>
Result<void> each_page(RedisClient& redis, std::string_view pattern, std::string_view type,
                       Handle handle) {
  std::string cursor = "0";
  do {
    Result<RedisReply> page =
        redis.execute({"SCAN", cursor, "MATCH", pattern, "COUNT", scan_count, "TYPE", type});
    if (!page) return page.error();
    if ((*page)->type != REDIS_REPLY_ARRAY || (*page)->elements != 2)
      return Error{"redis: the reply to SCAN is not a cursor and a list"};
    cursor = text_of((*page)->element[0]);
    std::vector<std::string_view> names;
    const redisReply* found = (*page)->element[1];
    for (size_t i = 0; i < found->elements; ++i) names.push_back(text_of(found->element[i]));
    if (Result<void> handled = handle(names); !handled) return handled;
  } while (cursor != "0");
  return {};
}

Result<void> read_held(RedisClient& redis, Snapshots& snapshots) {
  return each_page(
      redis, "held:*", "hash", [&](const std::vector<std::string_view>& names) -> Result<void> {
        for (std::string_view key : names) redis.append({"HGETALL", key});
        for (std::string_view key : names) {
          Result<RedisReply> fields = redis.read();
          if (!fields) return fields.error();
          if (auto const ids = held_ids(key))
            add_held(key, fields->get(), snapshots.session(ids->first, ids->second), snapshots);
          else
            snapshots.unreadable.push_back(
                {std::string(key), "the name is not a hunter_id and a hunt_id of this bucket"});
        }
        return {};
      });
}

// Reads one page of one stream; returns the id of its last entry, or an empty text at the stream's
// end.
Result<std::string> read_outbox_page(RedisClient& redis, const std::string& key,
                                     const std::string& after, Snapshots& snapshots) {
  std::string const count = std::to_string(limits::outbox_read_max);
  Result<RedisReply> page = redis.execute({"XRANGE", key, after, "+", "COUNT", count});
  if (!page) return page.error();
  std::string last;
  for (size_t i = 0; i < (*page)->elements; ++i) {
    const redisReply* entry = (*page)->element[i];
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2) continue;
    last = text_of(entry->element[0]);
    const redisReply* fields = entry->element[1];
    std::string_view value;
    for (size_t f = 0; fields->type == REDIS_REPLY_ARRAY && f + 1 < fields->elements; f += 2)
      if (text_of(fields->element[f]) == keys::outbox_value_field)
        value = text_of(fields->element[f + 1]);
    if (Result<void> const added = snapshots.add_value(value, true); !added)
      snapshots.unreadable.push_back({fmt::format("{} {}", key, last), added.error().message});
  }
  if ((*page)->elements < limits::outbox_read_max) return std::string();
  return last;
}

Result<void> read_outbox(RedisClient& redis, Snapshots& snapshots) {
  for (uint32_t bucket = 0; bucket < limits::buckets; bucket += limits::outbox_pipeline_max) {
    uint32_t const until =
        std::min<uint32_t>(bucket + limits::outbox_pipeline_max, limits::buckets);
    std::vector<uint32_t> filled;
    for (uint32_t i = bucket; i < until; ++i) redis.append({"XLEN", keys::outbox(i)});
    for (uint32_t i = bucket; i < until; ++i) {
      Result<RedisReply> length = redis.read();
      if (!length) return length.error();
      if ((*length)->integer > 0) filled.push_back(i);
    }
    for (uint32_t i : filled) {
      std::string after = "-";
      while (!after.empty()) {
        Result<std::string> last =
            read_outbox_page(redis, std::string(keys::outbox(i)), after, snapshots);
        if (!last) return last.error();
        after = last->empty() ? std::string() : "(" + *last;
      }
    }
  }
  return {};
}

// A supply's units by their state, while they are read. HSCAN may return a field twice.
struct Units {
  std::set<std::string, std::less<>> given;
  std::set<std::string, std::less<>> pending;
};

// Adds a field of a supply; returns false if it is malformed.
bool add_unit(std::string_view field, std::string_view value, Units& units,
              SupplySnapshot& supply) {
  if (field == keys::before_field) {
    std::optional<uint64_t> const count = read_number<uint64_t>(value);
    supply.before = count.value_or(0);
    return count.has_value();
  }
  if (field.starts_with(keys::field_mark)) return true;  // of a later huntd
  std::string_view const state = value.substr(0, value.find(' '));
  if (state == "given") {
    units.given.emplace(field);
    return true;
  }
  // An older huntd has written `retaken` for a pending unit.
  if (state != "pending" && state != "settling" && state != "retaken") return false;
  units.pending.emplace(field);
  return true;
}

// Replaces what Redis has of the supply.
Result<void> read_supply(RedisClient& redis, SupplySnapshot& supply, Snapshots& snapshots) {
  PoolString const key = keys::supply(supply.hunt_id, supply.loot_id);
  std::string cursor = "0";
  Units units;
  supply.before = 0;
  do {
    Result<RedisReply> page = redis.execute({"HSCAN", key, cursor, "COUNT", scan_count});
    if (!page) return page.error();
    if ((*page)->type != REDIS_REPLY_ARRAY || (*page)->elements != 2)
      return Error{"redis: the reply to HSCAN is not a cursor and a list"};
    cursor = text_of((*page)->element[0]);
    const redisReply* fields = (*page)->element[1];
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
      std::string_view const field = text_of(fields->element[i]);
      if (!add_unit(field, text_of(fields->element[i + 1]), units, supply))
        snapshots.unreadable.push_back(
            {std::string(key), fmt::format("field {} is malformed", field.substr(0, 64))});
    }
  } while (cursor != "0");
  // A unit that was settled between two pages.
  for (const std::string& event_id : units.given) units.pending.erase(event_id);
  supply.given.assign(units.given.begin(), units.given.end());
  supply.pending = units.pending.size();
  return {};
}

// hunt_id and loot_id of supplies.
using SupplyNames = std::set<std::pair<std::string, std::string>>;

// Adds the members of the sets `supplies:{HUNT}`.
Result<void> read_supplies_of_hunts(RedisClient& redis, Snapshots& snapshots, SupplyNames& names) {
  auto const add_all = [&](const std::vector<std::string_view>& found) -> Result<void> {
    for (std::string_view key : found) {
      size_t const open = key.find('{');
      std::string_view const hunt_id =
          open + 1 < key.size() ? key.substr(open + 1, key.size() - open - 2) : key;
      if (!is_id(hunt_id) || keys::supplies_of(hunt_id) != key) {
        snapshots.unreadable.push_back({std::string(key), "the name has no hunt_id"});
        continue;
      }
      Result<RedisReply> members = redis.execute({"SMEMBERS", key});
      if (!members) return members.error();
      for (size_t i = 0; i < (*members)->elements; ++i)
        names.emplace(hunt_id, text_of((*members)->element[i]));
    }
    return {};
  };
  return each_page(redis, "supplies:*", "set", add_all);
}

// Adds the members of the set `supplies` of an older huntd.
Result<void> read_older_supplies(RedisClient& redis, Snapshots& snapshots, SupplyNames& names) {
  Result<RedisReply> members = redis.execute({"SMEMBERS", keys::supplies});
  if (!members) return members.error();
  for (size_t i = 0; i < (*members)->elements; ++i) {
    std::string_view const name = text_of((*members)->element[i]);
    size_t const colon = name.find(':');
    if (colon == std::string_view::npos)
      snapshots.unreadable.push_back({"supplies", fmt::format("{} is not hunt_id:loot_id", name)});
    else
      names.emplace(name.substr(0, colon), name.substr(colon + 1));
  }
  return {};
}

Result<void> read_supplies(RedisClient& redis, Snapshots& snapshots) {
  SupplyNames names;
  Result<void> read = read_supplies_of_hunts(redis, snapshots, names);
  if (read) read = read_older_supplies(redis, snapshots, names);
  if (!read) return read;
  for (const auto& [hunt_id, loot_id] : names)
    if (read = read_supply(redis, snapshots.supply(hunt_id, loot_id), snapshots); !read)
      return read;
  return {};
}

}  // namespace

Result<uint64_t> outbox_length(RedisClient& redis) {
  uint64_t total = 0;
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
    redis.append({"XLEN", keys::outbox(bucket)});
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket) {
    Result<RedisReply> length = redis.read();
    if (!length) return length.error();
    total += static_cast<uint64_t>((*length)->integer);
  }
  return total;
}

Result<void> read_redis(RedisClient& redis, Snapshots& snapshots) {
  if (Result<void> connected = redis.connect(); !connected) return connected;
  if (Result<void> supplies = read_supplies(redis, snapshots); !supplies) return supplies;
  if (Result<void> held = read_held(redis, snapshots); !held) return held;
  return read_outbox(redis, snapshots);
}

Result<void> read_held_again(RedisClient& redis, std::span<const uint32_t> sessions,
                             Snapshots& snapshots) {
  if (Result<void> connected = redis.connect(); !connected) return connected;
  constexpr size_t pipeline_max = 1000;
  while (!sessions.empty()) {
    std::span<const uint32_t> const page = sessions.first(std::min(pipeline_max, sessions.size()));
    sessions = sessions.subspan(page.size());
    auto const key_of = [&](uint32_t index) {
      const SessionSnapshot& session = snapshots.sessions[index];
      return keys::held(session.hunter_id, session.hunt_id);
    };
    for (uint32_t index : page) redis.append({"HGETALL", key_of(index)});
    for (uint32_t index : page) {
      Result<RedisReply> fields = redis.read();
      if (!fields) return fields.error();
      add_held(key_of(index), fields->get(), snapshots.sessions[index], snapshots);
    }
  }
  return {};
}

Result<void> read_supplies_again(RedisClient& redis, Snapshots& snapshots) {
  if (Result<void> connected = redis.connect(); !connected) return connected;
  for (SupplySnapshot& supply : snapshots.supplies)
    if (supply.counted > supply.taken())
      if (Result<void> read = read_supply(redis, supply, snapshots); !read) return read;
  return {};
}

}  // namespace huntd::reconcile
