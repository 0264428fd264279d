// SPDX-License-Identifier: Apache-2.0
#include "reconcile/redis_snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/ids.h"
#include "base/read_text.h"
#include "drivers/driver_limits.h"
#include "drivers/redis_scan.h"
#include "wire/redis_keys.h"

namespace huntd::reconcile {
namespace {

constexpr std::string_view scan_count = "1000";

// Calls `handle` with the names of the keys of this type that match, page by page, as scan_keys().
template <class Handle>
Result<void> each_page(RedisClient& redis, std::string_view pattern, std::string_view type,
                       Handle handle) {
  return scan_keys(redis, pattern, type, [&](const redisReply& found) {
    std::vector<std::string_view> names;
    for (size_t i = 0; i < found.elements; ++i) names.push_back(text_of(found.element[i]));
    return handle(names);
  });
}

std::vector<HeldField> fields_of(const redisReply* reply) {
  std::vector<HeldField> fields;
  if (reply->type != REDIS_REPLY_ARRAY) return fields;
  for (size_t i = 0; i + 1 < reply->elements; i += 2)
    fields.push_back({text_of(reply->element[i]), text_of(reply->element[i + 1])});
  return fields;
}

// Ids contain no character that is special in a pattern.
std::string held_pattern(const Scope& scope) {
  std::string const hunt = scope.hunt_id.empty() ? "*" : scope.hunt_id;
  if (scope.hunter_id.empty()) return "held:*:" + hunt;
  return std::string(keys::held(scope.hunter_id, hunt));
}

Result<void> read_held_page(RedisClient& redis, const std::vector<std::string_view>& names,
                            Reading& reading) {
  for (std::string_view key : names) redis.append({"HGETALL", key});
  for (std::string_view key : names) {
    Result<RedisReply> const reply = redis.read();
    if (!reply) return reply.error();
    auto const ids = held_ids(key);
    if (!ids) {
      if (reading.scope().is_all())
        reading.findings().add_unreadable(
            key, "the name is not a hunter_id and a hunt_id of this bucket");
      continue;
    }
    std::vector<HeldField> const fields = fields_of(reply->get());
    if (fields.empty()) continue;  // deleted meanwhile
    if (Result<void> added = reading.add_held(ids->first, ids->second, fields); !added)
      return added;
  }
  return {};
}

Result<void> read_held(RedisClient& redis, const ReadSoFar& so_far, Reading& reading) {
  const Scope& scope = reading.scope();
  if (!scope.hunter_id.empty() && !scope.hunt_id.empty()) {
    PoolString const key = keys::held(scope.hunter_id, scope.hunt_id);
    return read_held_page(redis, {key}, reading);
  }
  uint64_t keys_read = 0;
  return each_page(redis, held_pattern(scope), "hash",
                   [&](const std::vector<std::string_view>& names) {
                     so_far(keys_read += names.size());
                     return read_held_page(redis, names, reading);
                   });
}

// Returns the value of a stream's entry; empty if it has none.
std::string_view value_of(const redisReply* fields) {
  std::string_view value;
  for (size_t f = 0; fields->type == REDIS_REPLY_ARRAY && f + 1 < fields->elements; f += 2)
    if (text_of(fields->element[f]) == keys::outbox_value_field)
      value = text_of(fields->element[f + 1]);
  return value;
}

// Calls handle(entry's id, value) for each entry of the bucket's stream, which is read in pages.
template <class Handle>
Result<void> each_entry(RedisClient& redis, uint32_t bucket, Handle handle) {
  PoolString const key = keys::outbox(bucket);
  std::string const count = std::to_string(limits::outbox_read_max);
  for (std::string after = "-";;) {
    Result<RedisReply> const page = redis.execute({"XRANGE", key, after, "+", "COUNT", count});
    if (!page) return page.error();
    std::string const before = after;
    for (size_t i = 0; i < (*page)->elements; ++i) {
      const redisReply* entry = (*page)->element[i];
      if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2) continue;
      std::string_view const id = text_of(entry->element[0]);
      after = "(" + std::string(id);
      if (Result<void> handled = handle(id, value_of(entry->element[1])); !handled) return handled;
    }
    if ((*page)->elements < limits::outbox_read_max || after == before) return {};
  }
}

// The buckets of the scope whose outboxes are not empty. The outbox of another bucket than the
// hunter's has no event of the hunter: only huntd writes there.
Result<std::vector<uint32_t>> filled_buckets(RedisClient& redis, const Scope& scope) {
  std::vector<uint32_t> filled;
  if (!scope.hunter_id.empty()) return std::vector<uint32_t>{bucket_of(scope.hunter_id)};
  for (uint32_t from = 0; from < limits::buckets; from += limits::outbox_pipeline_max) {
    uint32_t const until = std::min<uint32_t>(from + limits::outbox_pipeline_max, limits::buckets);
    for (uint32_t i = from; i < until; ++i) redis.append({"XLEN", keys::outbox(i)});
    for (uint32_t i = from; i < until; ++i) {
      Result<RedisReply> length = redis.read();
      if (!length) return length.error();
      if ((*length)->integer > 0) filled.push_back(i);
    }
  }
  return filled;
}

Result<void> read_outbox(RedisClient& redis, Reading& reading) {
  Result<std::vector<uint32_t>> const filled = filled_buckets(redis, reading.scope());
  if (!filled) return filled.error();
  for (uint32_t bucket : *filled) {
    Result<void> const read =
        each_entry(redis, bucket, [&](std::string_view id, std::string_view value) {
          return reading.add_value(value, true,
                                   {true, static_cast<int32_t>(bucket), std::string(id)});
        });
    if (!read) return read;
  }
  return {};
}

// Adds a field of a supply; an error is the temporary file's.
Result<void> add_unit(std::string_view field, std::string_view value, uint32_t supply,
                      Reading& reading) {
  SupplySnapshot& into = reading.supplies.all[supply];
  bool fine = true;
  std::string_view const state = value.substr(0, value.find(' '));
  if (field == keys::before_field) {
    std::optional<uint64_t> const count = read_number<uint64_t>(value);
    into.before = count.value_or(0);
    fine = count.has_value();
  } else if (field.starts_with(keys::field_mark)) {
    return {};  // of a later huntd
  } else if (state == "given") {
    return reading.add_unit(supply, field, false);
  } else if (state == "pending" || state == "settling" || state == "retaken") {
    // An older huntd has written `retaken` for a pending unit.
    return reading.add_unit(supply, field, true);
  } else {
    fine = false;
  }
  if (!fine)
    reading.findings().add_unreadable(keys::supply(into.hunt_id, into.loot_id),
                                      fmt::format("field {} is malformed", field.substr(0, 64)));
  return {};
}

// Calls handle(field, value) for the fields of a hash that match, page by page. HSCAN may return a
// field twice.
template <class Handle>
Result<void> each_field(RedisClient& redis, std::string_view key, std::string_view pattern,
                        Handle handle) {
  std::string cursor = "0";
  do {
    Result<RedisReply> page =
        redis.execute({"HSCAN", key, cursor, "MATCH", pattern, "COUNT", scan_count});
    if (!page) return page.error();
    if ((*page)->type != REDIS_REPLY_ARRAY || (*page)->elements != 2)
      return Error{"redis: the reply to HSCAN is not a cursor and a list"};
    cursor = text_of((*page)->element[0]);
    for (const HeldField& field : fields_of((*page)->element[1]))
      if (Result<void> handled = handle(field.field, field.value); !handled) return handled;
  } while (cursor != "0");
  return {};
}

Result<void> read_supply(RedisClient& redis, uint32_t supply, Reading& reading) {
  const SupplySnapshot& of = reading.supplies.all[supply];
  PoolString const key = keys::supply(of.hunt_id, of.loot_id);
  return each_field(redis, key, "*", [&](std::string_view field, std::string_view value) {
    return add_unit(field, value, supply, reading);
  });
}

// hunt_id and loot_id of supplies.
using SupplyNames = std::set<std::pair<std::string, std::string>>;

// Adds the members of the sets `supplies:{HUNT}`.
Result<void> read_supplies_of_hunts(RedisClient& redis, Reading& reading, SupplyNames& names) {
  auto const add_all = [&](const std::vector<std::string_view>& found) -> Result<void> {
    for (std::string_view key : found) {
      size_t const open = key.find('{');
      std::string_view const hunt_id =
          open + 1 < key.size() ? key.substr(open + 1, key.size() - open - 2) : key;
      if (!is_id(hunt_id) || keys::supplies_of(hunt_id) != key) {
        reading.findings().add_unreadable(key, "the name has no hunt_id");
        continue;
      }
      Result<RedisReply> members = redis.execute({"SMEMBERS", key});
      if (!members) return members.error();
      for (size_t i = 0; i < (*members)->elements; ++i)
        names.emplace(hunt_id, text_of((*members)->element[i]));
    }
    return {};
  };
  const std::string& hunt_id = reading.scope().hunt_id;
  if (hunt_id.empty()) return each_page(redis, "supplies:*", "set", add_all);
  PoolString const key = keys::supplies_of(hunt_id);
  return add_all({key});
}

// Adds the members of the set `supplies` of an older huntd.
Result<void> read_older_supplies(RedisClient& redis, Reading& reading, SupplyNames& names) {
  Result<RedisReply> members = redis.execute({"SMEMBERS", keys::supplies});
  if (!members) return members.error();
  for (size_t i = 0; i < (*members)->elements; ++i) {
    std::string_view const name = text_of((*members)->element[i]);
    size_t const colon = name.find(':');
    if (colon == std::string_view::npos)
      reading.findings().add_unreadable("supplies", fmt::format("{} is not hunt_id:loot_id", name));
    else if (reading.scope().has_supplies_of(name.substr(0, colon)))
      names.emplace(name.substr(0, colon), name.substr(colon + 1));
  }
  return {};
}

Result<void> read_supplies(RedisClient& redis, Reading& reading) {
  if (!reading.scope().hunter_id.empty()) return {};
  SupplyNames names;
  Result<void> read = read_supplies_of_hunts(redis, reading, names);
  if (read) read = read_older_supplies(redis, reading, names);
  if (!read) return read;
  for (const auto& [hunt_id, loot_id] : names)
    if (read = read_supply(redis, reading.supplies.index_of(hunt_id, loot_id), reading); !read)
      return read;
  return {};
}

// What Redis has of a supply now.
Result<SupplySnapshot> supply_now(RedisClient& redis, const SupplySnapshot& known) {
  SupplySnapshot now = known;
  now.before = 0;
  std::set<std::string, std::less<>> marked;  // fields that are not units
  PoolString const key = keys::supply(known.hunt_id, known.loot_id);
  Result<void> const read =
      each_field(redis, key, "#*", [&](std::string_view field, std::string_view value) {
        marked.emplace(field);
        if (field == keys::before_field)
          now.before = read_number<uint64_t>(value).value_or(known.before);
        return Result<void>();
      });
  if (!read) return read.error();
  Result<RedisReply> const fields = redis.execute({"HLEN", key});
  if (!fields) return fields.error();
  Result<RedisReply> const pending =
      redis.execute({"ZCARD", keys::supply_pending(known.hunt_id, known.loot_id)});
  if (!pending) return pending.error();
  auto const all = static_cast<uint64_t>((*fields)->integer);
  uint64_t const units = all - std::min<uint64_t>(all, marked.size());
  now.pending = std::min(units, static_cast<uint64_t>((*pending)->integer));
  now.given = units - now.pending;
  return now;
}

}  // namespace

Result<uint64_t> outbox_length(RedisClient& redis, const Scope& scope) {
  Result<std::vector<uint32_t>> const filled = filled_buckets(redis, scope);
  if (!filled) return filled.error();
  uint64_t total = 0;
  for (uint32_t bucket : *filled) redis.append({"XLEN", keys::outbox(bucket)});
  for (size_t i = 0; i < filled->size(); ++i) {
    Result<RedisReply> length = redis.read();
    if (!length) return length.error();
    total += static_cast<uint64_t>((*length)->integer);
  }
  return total;
}

Result<void> read_redis(RedisClient& redis, const ReadSoFar& so_far, Reading& reading) {
  if (Result<void> connected = redis.connect(); !connected) return connected;
  if (Result<void> supplies = read_supplies(redis, reading); !supplies) return supplies;
  if (Result<void> held = read_held(redis, so_far, reading); !held) return held;
  return read_outbox(redis, reading);
}

Result<void> read_held_again(RedisClient& redis, std::span<const uint32_t> sessions,
                             Snapshots& snapshots) {
  if (Result<void> connected = redis.connect(); !connected) return connected;
  constexpr size_t pipeline_max = 1000;
  while (!sessions.empty()) {
    std::span<const uint32_t> const page = sessions.first(std::min(pipeline_max, sessions.size()));
    sessions = sessions.subspan(page.size());
    for (uint32_t index : page) {
      const SessionSnapshot& session = snapshots.sessions[index];
      redis.append({"HGETALL", keys::held(session.hunter_id, session.hunt_id)});
    }
    for (uint32_t index : page) {
      Result<RedisReply> fields = redis.read();
      if (!fields) return fields.error();
      set_held(fields_of(fields->get()), snapshots.sessions[index], snapshots);
    }
  }
  return {};
}

Result<void> read_outbox_again(RedisClient& redis, std::span<const uint32_t> sessions,
                               const Snapshots& snapshots, const HandleEvent& handle) {
  if (Result<void> connected = redis.connect(); !connected) return connected;
  std::set<uint32_t> buckets;
  for (uint32_t index : sessions) buckets.insert(bucket_of(snapshots.sessions[index].hunter_id));
  for (uint32_t bucket : buckets) {
    Result<void> const read =
        each_entry(redis, bucket, [&](std::string_view, std::string_view value) -> Result<void> {
          Result<LootEventView> const event = view_countable_event(value);
          if (event) handle(parts_of(*event, true, snapshots.expired_before_ms));
          return {};
        });
    if (!read) return read;
  }
  return {};
}

Result<void> read_supplies_again(RedisClient& redis, Supplies& supplies) {
  if (Result<void> connected = redis.connect(); !connected) return connected;
  for (SupplySnapshot& supply : supplies.all) {
    uint64_t const taken_away = supplies.taken_away(supply.hunt_id);
    if (!supply.is_over(taken_away) && !supply.is_lost()) continue;
    Result<SupplySnapshot> const now = supply_now(redis, supply);
    if (!now) return now.error();
    // Units that were given since are not held by the hunters that were read.
    if (supply.is_over(taken_away) && !now->is_over(taken_away)) {
      supply.given = now->given;
      supply.before = now->before;
    }
    if (supply.is_lost() && !now->is_lost()) supply.counted = supply.taken();
  }
  return {};
}

Result<bool> has_entry(RedisClient& redis, const RecordPlace& place) {
  PoolString const key = keys::outbox(static_cast<uint32_t>(place.partition));
  Result<RedisReply> const found = redis.execute({"XRANGE", key, place.position, place.position});
  if (!found) return found.error();
  return (*found)->elements > 0;
}

}  // namespace huntd::reconcile
