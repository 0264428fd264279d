// SPDX-License-Identifier: Apache-2.0
// Reads and deletes many Redis keys in batches, so that neither Redis is blocked nor memory needed
// by their number.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "drivers/redis_client.h"

namespace huntd::huntctl {

// Commands sent before the first reply is read.
inline constexpr size_t redis_batch_max = 100;

RedisClient redis_client(const Config& config);
// In ms since the Unix epoch, by Redis' clock; of a cluster, by the latest clock of its primaries.
Result<int64_t> redis_time_ms(RedisClient& redis);
// Loads a Lua script; returns its name for EVALSHA.
Result<std::string> load_script(RedisClient& redis, const char* script);

using Keys = std::vector<std::string>;
using HandleKeys = std::function<Result<void>(const Keys& keys)>;
// Calls `handle` for each page of the keys that match `pattern`, and `begin` before the first page, as
// scan_keys().
Result<void> each_key(
    RedisClient& redis, std::string_view pattern, const HandleKeys& handle,
    const std::function<void()>& begin = [] {});

// Sends append(i) for each i below `size`, in batches, and calls read(i, reply) for each reply.
Result<void> each_reply(RedisClient& redis, size_t size, const std::function<void(size_t)>& append,
                        const std::function<Result<void>(size_t, const redisReply&)>& read);

// Deletes the keys in the background of Redis (UNLINK); returns how many there were.
Result<uint64_t> unlink(RedisClient& redis, const Keys& keys);

// Fields and values of a reply to HGETALL.
std::vector<std::pair<std::string, std::string>> pairs_of(const redisReply& reply);

// A key of a hunter: `held`, or `done` of a request.
struct HunterKey {
  bool is_held;
  std::string hunter_id;
  std::string hunt_id;
};
// Returns nothing for any other key, and for one with a wrong bucket.
std::optional<HunterKey> read_hunter_key(std::string_view key);
// Patterns for each_key() that match all HunterKeys of a hunt or of a hunter, and few others.
std::string pattern_of_hunt(std::string_view hunt_id);
std::string pattern_of_hunter(std::string_view hunter_id);
// Of the keys of all supplies of a hunt.
std::string pattern_of_supplies(std::string_view hunt_id);

// Returns the loot_id of "supply:{HUNT:LOOT}", "supply_pending:…" or "supply_limit:…"; nothing if
// `key` is not one of the hunt's.
std::optional<std::string> supply_of_key(std::string_view key, std::string_view hunt_id);

// Calls handle(hunter_id, event) for each event in the outboxes of `buckets`.
Result<void> each_outbox_event(
    RedisClient& redis, const std::vector<uint32_t>& buckets,
    const std::function<void(std::string_view hunter_id, std::string_view event)>& handle);
std::vector<uint32_t> all_buckets();

}  // namespace huntd::huntctl
