#include "reconcile/redis_books.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "aggregator/aggregator_limits.h"
#include "base/ids.h"
#include "protocol/redis_keys.h"

namespace huntd {
namespace {

constexpr std::string_view scan_count = "1000";

std::optional<uint64_t> number_of(std::string_view text) {
  uint64_t number = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// hunter_id and hunt_id of "held:{bN}:hunter_id:hunt_id"; nothing where it is another key.
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

void add_held(std::string_view key, const redisReply* fields, Books& books) {
  auto ids = held_ids(key);
  if (!ids) {
    books.unreadable.push_back({std::string(key), "its name is no hunter and hunt of this bucket"});
    return;
  }
  SessionBook& session = books.session(ids->first, ids->second);
  session.has_held = true;
  session.held = {};  // SCAN may name a key twice
  for (size_t i = 0; i + 1 < fields->elements; i += 2) {
    std::string_view const field = text_of(fields->element[i]);
    std::optional<uint64_t> count = number_of(text_of(fields->element[i + 1]));
    if (!count)
      books.unreadable.push_back(
          {std::string(key), fmt::format("field {} is not a count", field.substr(0, 64))});
    else if (field == keys::seq_field)
      session.held.seq = *count;
    else
      session.held.loot[std::string(field)] = *count;
  }
}

Result<void> read_held(RedisClient& redis, Books& books) {
  std::string cursor = "0";
  do {
    Result<RedisAnswer> page =
        redis.run({"SCAN", cursor, "MATCH", "held:*", "COUNT", scan_count, "TYPE", "hash"});
    if (!page) return page.error();
    if ((*page)->type != REDIS_REPLY_ARRAY || (*page)->elements != 2)
      return Error{"redis: SCAN did not answer with a cursor and keys"};
    cursor = text_of((*page)->element[0]);
    const redisReply* found = (*page)->element[1];
    for (size_t i = 0; i < found->elements; ++i)
      redis.append({"HGETALL", text_of(found->element[i])});
    for (size_t i = 0; i < found->elements; ++i) {
      Result<RedisAnswer> fields = redis.read();
      if (!fields) return fields.error();
      add_held(text_of(found->element[i]), fields->get(), books);
    }
  } while (cursor != "0");
  return {};
}

// One XRANGE page of one stream; returns the last id, empty at the stream's end.
Result<std::string> read_outbox_page(RedisClient& redis, const std::string& key,
                                     const std::string& after, Books& books) {
  std::string const count = std::to_string(limits::outbox_read_max);
  Result<RedisAnswer> page = redis.run({"XRANGE", key, after, "+", "COUNT", count});
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
    if (Result<void> const added = books.add_value(value, true); !added)
      books.unreadable.push_back({fmt::format("{} {}", key, last), added.error().message});
  }
  if ((*page)->elements < limits::outbox_read_max) return std::string();
  return last;
}

Result<void> read_outbox(RedisClient& redis, Books& books) {
  for (uint32_t bucket = 0; bucket < limits::buckets; bucket += limits::outbox_pipeline_max) {
    uint32_t const until =
        std::min<uint32_t>(bucket + limits::outbox_pipeline_max, limits::buckets);
    std::vector<uint32_t> filled;
    for (uint32_t i = bucket; i < until; ++i) redis.append({"XLEN", keys::outbox(i)});
    for (uint32_t i = bucket; i < until; ++i) {
      Result<RedisAnswer> length = redis.read();
      if (!length) return length.error();
      if ((*length)->integer > 0) filled.push_back(i);
    }
    for (uint32_t i : filled) {
      std::string after = "-";
      while (!after.empty()) {
        Result<std::string> last =
            read_outbox_page(redis, std::string(keys::outbox(i)), after, books);
        if (!last) return last.error();
        after = last->empty() ? std::string() : "(" + *last;
      }
    }
  }
  return {};
}

Result<void> read_supply(RedisClient& redis, std::string_view name, Books& books) {
  size_t const colon = name.find(':');
  if (colon == std::string_view::npos) {
    books.unreadable.push_back({"supplies", fmt::format("{} is no hunt_id:loot_id", name)});
    return {};
  }
  SupplyBook supply{.hunt_id = std::string(name.substr(0, colon)),
                    .loot_id = std::string(name.substr(colon + 1)),
                    .given = {}};
  Text const key = keys::supply(supply.hunt_id, supply.loot_id);
  std::string cursor = "0";
  std::vector<std::string> seen;
  do {
    Result<RedisAnswer> page = redis.run({"HSCAN", key, cursor, "COUNT", scan_count});
    if (!page) return page.error();
    if ((*page)->type != REDIS_REPLY_ARRAY || (*page)->elements != 2)
      return Error{"redis: HSCAN did not answer with a cursor and fields"};
    cursor = text_of((*page)->element[0]);
    const redisReply* fields = (*page)->element[1];
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
      if (text_of(fields->element[i + 1]) == "given")
        supply.given.emplace_back(text_of(fields->element[i]));
      else
        seen.emplace_back(text_of(fields->element[i]));
    }
  } while (cursor != "0");
  // HSCAN may name a field twice.
  std::sort(supply.given.begin(), supply.given.end());
  supply.given.erase(std::unique(supply.given.begin(), supply.given.end()), supply.given.end());
  std::sort(seen.begin(), seen.end());
  supply.pending = static_cast<uint64_t>(std::unique(seen.begin(), seen.end()) - seen.begin());
  books.supplies.push_back(std::move(supply));
  return {};
}

Result<void> read_supplies(RedisClient& redis, Books& books) {
  Result<RedisAnswer> names = redis.run({"SMEMBERS", keys::supplies});
  if (!names) return names.error();
  for (size_t i = 0; i < (*names)->elements; ++i)
    if (Result<void> done = read_supply(redis, text_of((*names)->element[i]), books); !done)
      return done;
  return {};
}

}  // namespace

Result<uint64_t> outbox_length(RedisClient& redis) {
  uint64_t total = 0;
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
    redis.append({"XLEN", keys::outbox(bucket)});
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket) {
    Result<RedisAnswer> length = redis.read();
    if (!length) return length.error();
    total += static_cast<uint64_t>((*length)->integer);
  }
  return total;
}

Result<void> read_redis(RedisClient& redis, Books& books) {
  if (Result<void> connected = redis.connect(); !connected) return connected;
  if (Result<void> held = read_held(redis, books); !held) return held;
  if (Result<void> outbox = read_outbox(redis, books); !outbox) return outbox;
  return read_supplies(redis, books);
}

}  // namespace huntd
