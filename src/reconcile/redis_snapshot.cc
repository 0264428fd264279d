// SPDX-License-Identifier: Apache-2.0
#include "reconcile/redis_snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/ids.h"
#include "drivers/driver_limits.h"
#include "wire/redis_keys.h"

namespace huntd::reconcile {
namespace {

constexpr std::string_view scan_count = "1000";

std::optional<uint64_t> number_of(std::string_view text) {
  uint64_t number = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

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

void add_held(std::string_view key, const redisReply* fields, Snapshots& snapshots) {
  auto ids = held_ids(key);
  if (!ids) {
    snapshots.unreadable.push_back(
        {std::string(key), "the name is not a hunter_id and a hunt_id of this bucket"});
    return;
  }
  SessionSnapshot& session = snapshots.session(ids->first, ids->second);
  session.has_held = true;
  session.held = {};  // SCAN may return a Redis key twice
  for (size_t i = 0; i + 1 < fields->elements; i += 2) {
    std::string_view const field = text_of(fields->element[i]);
    std::optional<uint64_t> count = number_of(text_of(fields->element[i + 1]));
    if (!count)
      snapshots.unreadable.push_back(
          {std::string(key), fmt::format("field {} is not a count", field.substr(0, 64))});
    else if (field == keys::seq_field)
      session.held.seq = *count;
    else
      session.held.loot[std::string(field)] = *count;
  }
}

Result<void> read_held(RedisClient& redis, Snapshots& snapshots) {
  std::string cursor = "0";
  do {
    Result<RedisReply> page =
        redis.execute({"SCAN", cursor, "MATCH", "held:*", "COUNT", scan_count, "TYPE", "hash"});
    if (!page) return page.error();
    if ((*page)->type != REDIS_REPLY_ARRAY || (*page)->elements != 2)
      return Error{"redis: the reply to SCAN is not a cursor and a list"};
    cursor = text_of((*page)->element[0]);
    const redisReply* found = (*page)->element[1];
    for (size_t i = 0; i < found->elements; ++i)
      redis.append({"HGETALL", text_of(found->element[i])});
    for (size_t i = 0; i < found->elements; ++i) {
      Result<RedisReply> fields = redis.read();
      if (!fields) return fields.error();
      add_held(text_of(found->element[i]), fields->get(), snapshots);
    }
  } while (cursor != "0");
  return {};
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

Result<void> read_supply(RedisClient& redis, std::string_view name, Snapshots& snapshots) {
  size_t const colon = name.find(':');
  if (colon == std::string_view::npos) {
    snapshots.unreadable.push_back({"supplies", fmt::format("{} is not hunt_id:loot_id", name)});
    return {};
  }
  SupplySnapshot supply{.hunt_id = std::string(name.substr(0, colon)),
                        .loot_id = std::string(name.substr(colon + 1)),
                        .given = {}};
  PoolString const key = keys::supply(supply.hunt_id, supply.loot_id);
  std::string cursor = "0";
  std::vector<std::string> seen;
  do {
    Result<RedisReply> page = redis.execute({"HSCAN", key, cursor, "COUNT", scan_count});
    if (!page) return page.error();
    if ((*page)->type != REDIS_REPLY_ARRAY || (*page)->elements != 2)
      return Error{"redis: the reply to HSCAN is not a cursor and a list"};
    cursor = text_of((*page)->element[0]);
    const redisReply* fields = (*page)->element[1];
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
      if (text_of(fields->element[i + 1]) == "given")
        supply.given.emplace_back(text_of(fields->element[i]));
      else
        seen.emplace_back(text_of(fields->element[i]));
    }
  } while (cursor != "0");
  // HSCAN may return a field twice.
  std::sort(supply.given.begin(), supply.given.end());
  supply.given.erase(std::unique(supply.given.begin(), supply.given.end()), supply.given.end());
  std::sort(seen.begin(), seen.end());
  supply.pending = static_cast<uint64_t>(std::unique(seen.begin(), seen.end()) - seen.begin());
  snapshots.supplies.push_back(std::move(supply));
  return {};
}

Result<void> read_supplies(RedisClient& redis, Snapshots& snapshots) {
  Result<RedisReply> names = redis.execute({"SMEMBERS", keys::supplies});
  if (!names) return names.error();
  for (size_t i = 0; i < (*names)->elements; ++i)
    if (Result<void> done = read_supply(redis, text_of((*names)->element[i]), snapshots); !done)
      return done;
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
  if (Result<void> held = read_held(redis, snapshots); !held) return held;
  if (Result<void> outbox = read_outbox(redis, snapshots); !outbox) return outbox;
  return read_supplies(redis, snapshots);
}

}  // namespace huntd::reconcile
