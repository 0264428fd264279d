// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/outbox_lengths.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <string_view>
#include <vector>

#include "aggregator/sessions/aggregator_limits.h"
#include "base/clock.h"
#include "drivers/redis_cluster.h"
#include "wire/redis_keys.h"

namespace huntd::aggregator {
namespace {

// Keys per call of the script: Redis runs nothing else meanwhile, about a tenth of a millisecond.
constexpr uint32_t group_buckets = 256;
static_assert(limits::buckets % group_buckets == 0);
// At most four a second.
constexpr uint32_t one_by_one_buckets =
    static_cast<uint32_t>(4 * limits::outbox_count_interval_ms / 1000);

// Returns the number of entries, and the id of the oldest one ('' if there is none).
constexpr std::string_view script = R"(
local total, oldest, oldest_ms = 0, '', nil
for _, key in ipairs(KEYS) do
  local length = redis.call('XLEN', key)
  if length > 0 then
    total = total + length
    local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
    local ms = first and tonumber(string.match(first[1], '^%d+'))
    if ms and (not oldest_ms or ms < oldest_ms) then oldest, oldest_ms = first[1], ms end
  end
end
return {total, oldest})";

// The line of INFO that begins with `field`; empty if there is none.
std::string_view line_of(std::string_view info, std::string_view field) {
  size_t const begin = info.find(field);
  return begin == info.npos ? std::string_view()
                            : info.substr(begin, info.find('\r', begin) - begin);
}

bool begins_with_code(const Error& error, std::string_view code) {
  return error.message.find(std::string("redis: ").append(code)) == 0;
}

}  // namespace

OutboxLengths::OutboxLengths(const Config& config, uint32_t timeout_ms)
    : redis_(config.redis, timeout_ms) {}

std::optional<uint64_t> OutboxLengths::total(int64_t now_ms) {
  if (counted_at_ms_ != 0 && now_ms - counted_at_ms_ < limits::outbox_count_interval_ms)
    return total_;
  counted_at_ms_ = now_ms;
  if (redis_.is_replaced()) redis_.close();
  Result<void> counted = redis_.connect();
  if (counted && listed_) {
    counted = count_listed();
  } else if (counted && !one_by_one_) {
    counted = count_all();
    one_by_one_ = !counted && begins_with_code(counted.error(), "CROSSSLOT");
    if (one_by_one_) counted = Result<void>();
  }
  if (counted && one_by_one_ && !listed_) counted = count_some();
  if (!counted) {
    reason_ = counted.error().message;
    total_.reset();
    counted_writes_.clear();
    oldest_ms_ = 0;
    redis_.close();
  }
  oldest_age_ms_ = oldest_ms_ > 0 ? std::max<int64_t>(0, wall_ms() - oldest_ms_) : 0;
  return total_;
}

Result<std::string> OutboxLengths::writes() {
  Result<RedisReply> info = redis_.execute({"INFO", "persistence"});
  if (!info && redis_.connected()) return std::string();  // the ACL forbids it
  if (!info) return info.error();
  std::string_view const text = text_of(info->get());
  std::string_view const changes = line_of(text, "rdb_changes_since_last_save:");
  if (changes.empty()) return std::string();
  return std::string(changes).append(line_of(text, "rdb_last_save_time:"));
}

Result<void> OutboxLengths::count_all() {
  Result<std::string> const written = writes();
  if (!written) return written.error();
  if (total_ && !written->empty() && *written == counted_writes_) return {};
  counted_writes_ = *written;
  uint64_t total = 0;
  int64_t oldest_ms = 0;
  for (uint32_t first = 0; first < limits::buckets; first += group_buckets)
    if (Result<void> counted = count_group(first, total, oldest_ms); !counted) return counted;
  total_ = total;
  oldest_ms_ = oldest_ms;
  return {};
}

Result<void> OutboxLengths::count_group(uint32_t first, uint64_t& total, int64_t& oldest_ms) {
  if (script_sha_.empty()) {
    Result<RedisReply> loaded = redis_.execute({"SCRIPT", "LOAD", script});
    if (!loaded) return loaded.error();
    script_sha_ = text_of(loaded->get());
  }
  std::string const count = std::to_string(group_buckets);
  std::vector<PoolString> keys;
  for (uint32_t bucket = first; bucket < first + group_buckets; ++bucket)
    keys.push_back(keys::outbox(bucket));
  std::vector<std::string_view> words = {"EVALSHA", script_sha_, count};
  words.insert(words.end(), keys.begin(), keys.end());
  Result<RedisReply> reply = redis_.execute(words);
  if (!reply && begins_with_code(reply.error(), "NOSCRIPT")) script_sha_.clear();
  if (!reply) return reply.error();
  const redisReply* found = reply->get();
  if (found->type != REDIS_REPLY_ARRAY || found->elements != 2 ||
      found->element[0]->type != REDIS_REPLY_INTEGER)
    return Error{"redis: the reply to the count of the outbox is malformed"};
  total += static_cast<uint64_t>(found->element[0]->integer);
  std::string const id(text_of(found->element[1]));
  int64_t const id_ms = std::strtoll(id.c_str(), nullptr, 10);
  if (id_ms > 0) oldest_ms = oldest_ms == 0 ? id_ms : std::min(oldest_ms, id_ms);
  return {};
}

void OutboxLengths::use(const std::bitset<limits::buckets>& buckets) {
  listed_ = buckets;
  counted_at_ms_ = 0;
}

Result<void> OutboxLengths::count_listed() {
  uint32_t sent = 0;
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
    if (listed_->test(bucket)) {
      redis_.append({"XLEN", keys::outbox(bucket)});
      ++sent;
    }
  uint64_t total = 0;
  for (uint32_t i = 0; i < sent; ++i) {
    Result<RedisReply> length = redis_.read();
    // Of a bucket that is on its way: the node that gets it counts it.
    if (!length && !redis_.is_cluster() && redirect_of(length.error())) continue;
    if (!length) return length.error();
    total += static_cast<uint64_t>((*length)->integer);
  }
  total_ = total;
  oldest_ms_ = 0;
  return {};
}

Result<void> OutboxLengths::count_some() {
  for (uint32_t i = 0; i < one_by_one_buckets; ++i) {
    PoolString const key = keys::outbox(next_bucket_);
    Result<RedisReply> length = redis_.execute({"XLEN", key});
    if (!length) return length.error();
    lengths_[next_bucket_] = static_cast<uint64_t>((*length)->integer);
    next_bucket_ = (next_bucket_ + 1) % limits::buckets;
    complete_ = complete_ || next_bucket_ == 0;
  }
  oldest_ms_ = 0;
  if (complete_)
    total_ = std::accumulate(lengths_.begin(), lengths_.end(), uint64_t{0});
  else
    reason_ = "the outbox is counted key by key, and not complete yet";
  return {};
}

}  // namespace huntd::aggregator
