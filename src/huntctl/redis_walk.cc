// SPDX-License-Identifier: Apache-2.0
#include "huntctl/redis_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/hash.h"
#include "base/ids.h"
#include "base/read_text.h"
#include "drivers/driver_limits.h"
#include "drivers/redis_scan.h"
#include "wire/redis_keys.h"

namespace huntd::huntctl {
namespace {

Result<int64_t> number_of(std::string_view text) {
  std::optional<int64_t> const number = read_number<int64_t>(text);
  if (!number) return Error{fmt::format("redis: {} is not a number", text.substr(0, 64))};
  return *number;
}

// Reads the entries of one page of a stream. Returns the id of the last one, or an empty text at
// the stream's end.
Result<std::string> read_page(
    RedisClient& redis, std::string_view key, const std::string& after,
    const std::function<void(std::string_view, std::string_view)>& handle) {
  Result<RedisReply> const page =
      redis.execute({"XRANGE", key, after, "+", "COUNT", std::to_string(limits::outbox_read_max)});
  if (!page) return page.error();
  std::string last;
  for (size_t i = 0; i < (*page)->elements; ++i) {
    const redisReply* const entry = (*page)->element[i];
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2) continue;
    last = text_of(entry->element[0]);
    std::string_view hunter_id, event;
    const redisReply* const fields = entry->element[1];
    for (size_t f = 0; fields->type == REDIS_REPLY_ARRAY && f + 1 < fields->elements; f += 2) {
      if (text_of(fields->element[f]) == keys::outbox_key_field)
        hunter_id = text_of(fields->element[f + 1]);
      if (text_of(fields->element[f]) == keys::outbox_value_field)
        event = text_of(fields->element[f + 1]);
    }
    handle(hunter_id, event);
  }
  if ((*page)->elements < limits::outbox_read_max) return std::string();
  return last;
}

}  // namespace

RedisClient redis_client(const Config& config) { return RedisClient(config.redis); }

Result<int64_t> redis_time_ms(RedisClient& redis) {
  int64_t latest_ms = 0;
  for (size_t primary = 0; primary < redis.primaries(); ++primary) {
    Result<RedisReply> const time = redis.execute_at(primary, {"TIME"});
    if (!time) return time.error();
    if ((*time)->type != REDIS_REPLY_ARRAY || (*time)->elements != 2)
      return Error{"redis: the reply to TIME is not a time"};
    Result<int64_t> const seconds = number_of(text_of((*time)->element[0]));
    Result<int64_t> const us = number_of(text_of((*time)->element[1]));
    if (!seconds || !us) return Error{"redis: the reply to TIME is not a time"};
    latest_ms = std::max(latest_ms, *seconds * 1000 + *us / 1000);
  }
  return latest_ms;
}

Result<std::string> load_script(RedisClient& redis, const char* script) {
  Result<RedisReply> const loaded = redis.execute({"SCRIPT", "LOAD", script});
  if (!loaded) return loaded.error();
  return std::string(text_of(loaded->get()));
}

Result<void> each_key(RedisClient& redis, std::string_view pattern, const HandleKeys& handle,
                      const std::function<void()>& begin) {
  return scan_keys(
      redis, pattern, "",
      [&](const redisReply& names) -> Result<void> {
        Keys keys;
        for (size_t i = 0; i < names.elements; ++i) keys.emplace_back(text_of(names.element[i]));
        return handle(keys);
      },
      begin);
}

Result<void> each_reply(RedisClient& redis, size_t size, const std::function<void(size_t)>& append,
                        const std::function<Result<void>(size_t, const redisReply&)>& read) {
  for (size_t from = 0; from < size; from += redis_batch_max) {
    size_t const until = std::min(from + redis_batch_max, size);
    for (size_t i = from; i < until; ++i) append(i);
    for (size_t i = from; i < until; ++i) {
      Result<RedisReply> const reply = redis.read();
      if (!reply) return reply.error();
      if (Result<void> handled = read(i, **reply); !handled) return handled;
    }
  }
  return {};
}

Result<uint64_t> unlink(RedisClient& redis, const Keys& keys) {
  uint64_t deleted = 0;
  if (redis.is_cluster()) {
    // Keys of several slots can't be in one command.
    Result<void> const done = each_reply(
        redis, keys.size(),
        [&](size_t i) {
          redis.append({"UNLINK", keys[i]});
        },
        [&](size_t, const redisReply& reply) -> Result<void> {
          deleted += static_cast<uint64_t>(reply.integer);
          return {};
        });
    if (!done) return done.error();
    return deleted;
  }
  for (size_t from = 0; from < keys.size(); from += redis_batch_max) {
    std::vector<std::string_view> words{"UNLINK"};
    for (size_t i = from; i < std::min(from + redis_batch_max, keys.size()); ++i)
      words.push_back(keys[i]);
    Result<RedisReply> const reply = redis.execute(words);
    if (!reply) return reply.error();
    deleted += static_cast<uint64_t>((*reply)->integer);
  }
  return deleted;
}

std::vector<std::pair<std::string, std::string>> pairs_of(const redisReply& reply) {
  std::vector<std::pair<std::string, std::string>> pairs;
  if (reply.type != REDIS_REPLY_ARRAY) return pairs;
  for (size_t i = 0; i + 1 < reply.elements; i += 2)
    pairs.emplace_back(text_of(reply.element[i]), text_of(reply.element[i + 1]));
  return pairs;
}

std::optional<HunterKey> read_hunter_key(std::string_view key) {
  // KIND:{bN}:HUNTER:HUNT, and :KEY for `done`, in which KEY may contain colons.
  std::string_view words[5];
  std::string_view left = key;
  size_t count = 0;
  while (count < 5) {
    size_t const colon = count == 4 ? std::string_view::npos : left.find(':');
    words[count++] = left.substr(0, colon);
    if (colon == std::string_view::npos) break;
    left.remove_prefix(colon + 1);
  }
  if (count < 4 || !is_id(words[2]) || !is_id(words[3])) return std::nullopt;
  bool const is_held = count == 4;
  PoolString const expected =
      is_held ? keys::held(words[2], words[3]) : keys::done(words[2], words[3], words[4]);
  if (std::string_view(expected) != key) return std::nullopt;
  return HunterKey{is_held, std::string(words[2]), std::string(words[3])};
}

// Ids contain no character that is special in a pattern.
std::string pattern_of_hunt(std::string_view hunt_id) {
  return fmt::format("????:{{b*}}:*:{}*", hunt_id);
}

std::string pattern_of_hunter(std::string_view hunter_id) {
  return fmt::format("????:{{b{}}}:{}:*", bucket_of(hunter_id), hunter_id);
}

std::string pattern_of_supplies(std::string_view hunt_id) {
  return fmt::format("supply*:{{{}:*}}", hunt_id);
}

std::optional<std::string> supply_of_key(std::string_view key, std::string_view hunt_id) {
  size_t const tag = key.find('{');
  if (tag == std::string_view::npos || !key.ends_with('}')) return std::nullopt;
  std::string_view const name = key.substr(tag + 1, key.size() - tag - 2);
  if (!name.starts_with(hunt_id) || name.substr(hunt_id.size(), 1) != ":") return std::nullopt;
  std::string_view const loot_id = name.substr(hunt_id.size() + 1);
  if (!is_id(loot_id)) return std::nullopt;
  for (const PoolString& known :
       {keys::supply(hunt_id, loot_id), keys::supply_pending(hunt_id, loot_id),
        keys::supply_limit(hunt_id, loot_id)})
    if (std::string_view(known) == key) return std::string(loot_id);
  return std::nullopt;
}

std::vector<uint32_t> all_buckets() {
  std::vector<uint32_t> buckets(limits::buckets);
  std::iota(buckets.begin(), buckets.end(), 0U);
  return buckets;
}

Result<void> each_outbox_event(
    RedisClient& redis, const std::vector<uint32_t>& buckets,
    const std::function<void(std::string_view, std::string_view)>& handle) {
  std::vector<uint32_t> filled;
  Result<void> const lengths = each_reply(
      redis, buckets.size(),
      [&](size_t i) {
        redis.append({"XLEN", keys::outbox(buckets[i])});
      },
      [&](size_t i, const redisReply& length) -> Result<void> {
        if (length.integer > 0) filled.push_back(buckets[i]);
        return {};
      });
  if (!lengths) return lengths;
  for (uint32_t const bucket : filled) {
    PoolString const key = keys::outbox(bucket);
    for (std::string after = "-"; !after.empty();) {
      Result<std::string> const last = read_page(redis, key, after, handle);
      if (!last) return last.error();
      after = last->empty() ? std::string() : "(" + *last;
    }
  }
  return {};
}

}  // namespace huntd::huntctl
