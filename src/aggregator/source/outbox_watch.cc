// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/outbox_watch.h"

#include <fmt/format.h>

#include <algorithm>

#include "aggregator/sessions/aggregator_limits.h"
#include "wire/redis_keys.h"

namespace huntd::aggregator {
namespace {

constexpr std::string_view channel = "__redis__:invalidate";

}  // namespace

OutboxWatch::OutboxWatch(const Config& config, uint32_t timeout_ms)
    : subscriber_(config.redis, timeout_ms) {
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
    bucket_of_.emplace(std::string_view(keys::outbox(bucket)), bucket);
}

Result<RedisReply> OutboxWatch::ask(RedisClient& redis,
                                    const std::vector<std::string_view>& words) {
  Result<RedisReply> reply = redis.execute(words);
  if (reply) return reply;
  rejection_ = words[0];
  if (words[0] == "CLIENT") rejection_.append(" ").append(words[1]);
  rejection_.append(": ").append(reply.error().message);
  return reply;
}

// An error reply is a rejection. If a connection broke, the server itself is unavailable.
Result<bool> OutboxWatch::rejected_or_lost(RedisClient& reader) {
  bool const rejected = subscriber_.connected() && reader.connected();
  subscriber_.close();
  if (rejected) return false;
  reader.close();
  return Error{rejection_};
}

// The subscription comes first, so that no change is reported before it can be received. NOLOOP
// is not used: Redis remembers only who changed a key last, so our own XDEL would hide an XADD of
// another client that was executed in the same iteration of its event loop.
Result<bool> OutboxWatch::start(RedisClient& reader) {
  subscriber_.close();
  rejection_.clear();
  ping_at_ms_ = 0;
  unanswered_since_ms_ = 0;
  if (Result<void> connected = subscriber_.connect_beside(reader); !connected) {
    rejection_ = "a second connection: " + connected.error().message;
    return false;
  }
  if (!ask(subscriber_, {"PING"})) return rejected_or_lost(reader);
  Result<RedisReply> const id = ask(subscriber_, {"CLIENT", "ID"});
  if (!id) return rejected_or_lost(reader);
  std::string const client_id = std::to_string((*id)->integer);
  if (!ask(subscriber_, {"SUBSCRIBE", channel})) return rejected_or_lost(reader);
  // A connection that is tracked already accepts the prefix only after this.
  if (!ask(reader, {"CLIENT", "TRACKING", "OFF"})) return rejected_or_lost(reader);
  if (!ask(reader, {"CLIENT", "TRACKING", "ON", "REDIRECT", client_id, "BCAST", "PREFIX",
                    keys::outbox_prefix}))
    return rejected_or_lost(reader);
  return true;
}

Result<OutboxWatch::Received> OutboxWatch::receive(Buckets& changed, int64_t now_ms) {
  Received all = Received::nothing;
  while (true) {
    Result<std::optional<RedisReply>> message = subscriber_.received();
    if (!message) {
      subscriber_.close();
      return message.error();
    }
    if (!message->has_value()) break;
    unanswered_since_ms_ = 0;
    all = std::max(all, take(***message, changed));
  }
  if (Result<void> pinged = ping(now_ms); !pinged) {
    subscriber_.close();
    return pinged.error();
  }
  return all;
}

OutboxWatch::Received OutboxWatch::take(const redisReply& message, Buckets& changed) const {
  if (message.type != REDIS_REPLY_ARRAY || message.elements != 3) return Received::nothing;  // pong
  const redisReply& names = *message.element[2];
  if (names.type != REDIS_REPLY_ARRAY) {
    changed.set();
    return Received::flushed;
  }
  for (size_t i = 0; i < names.elements; ++i) {
    // Others are of the self-test of a core, or not huntd's.
    auto const at = bucket_of_.find(std::string(text_of(names.element[i])));
    if (at != bucket_of_.end()) changed.set(at->second);
  }
  return Received::changes;
}

// Nothing else shows that the other end of the connection is gone without having closed it.
Result<void> OutboxWatch::ping(int64_t now_ms) {
  if (unanswered_since_ms_ != 0) {
    if (now_ms - unanswered_since_ms_ < limits::outbox_watch_silence_ms) return {};
    return Error{fmt::format("no reply to PING for {} ms", now_ms - unanswered_since_ms_)};
  }
  if (now_ms < ping_at_ms_) return {};
  ping_at_ms_ = now_ms + limits::outbox_watch_ping_ms;
  unanswered_since_ms_ = now_ms;
  subscriber_.append({"PING"});
  return subscriber_.send();
}

}  // namespace huntd::aggregator
