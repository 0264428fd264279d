// SPDX-License-Identifier: Apache-2.0
// Which outboxes have changed, as Redis reports it (decision 32): server-assisted invalidation in
// broadcast mode. A connection of its own subscribes to `__redis__:invalidate`, and the reading
// connection redirects its tracking of the keys that begin with "outbox:" there.
//
// One object per server and reading connection. On a Redis Cluster a node reports the keys of its
// own slots only.
#pragma once
#include <bitset>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/limits.h"
#include "config/config.h"
#include "drivers/redis_client.h"

namespace huntd::aggregator {

using Buckets = std::bitset<limits::buckets>;

class OutboxWatch {
 public:
  // `timeout_ms`: for Redis, as RedisClient takes it.
  explicit OutboxWatch(const Config& config, uint32_t timeout_ms = limits::peer_timeout_ms);

  // Subscribes, then has `reader` tracked. From then on receive() reports each change; the caller
  // has to read every outbox once after this call. Returns false if the server rejects a command,
  // or rejects the second connection: see rejection(). After an error `reader` is not connected.
  Result<bool> start(RedisClient& reader);
  // The command that the server rejected in the last start(), and its reply.
  const std::string& rejection() const { return rejection_; }
  // REQUIRES: the reading connection is closed, or start() follows.
  void stop() { subscriber_.close(); }
  bool watching() const { return subscriber_.connected(); }
  // The socket of the subscription, for poll(2); -1 if there is none.
  int fd() const { return subscriber_.fd(); }

  enum class Received { nothing, changes, flushed };
  // Adds the buckets whose outboxes have changed to `changed`, and waits for nothing. `flushed`:
  // a database was emptied, or loaded from another server: all that was read may be gone. After
  // an error (also if the server was silent for limits::outbox_watch_silence_ms) the subscription
  // has ended, and changes may have been missed.
  Result<Received> receive(Buckets& changed, int64_t now_ms);

 private:
  // Executes a command of start(). Stores a rejection.
  Result<RedisReply> ask(RedisClient& redis, const std::vector<std::string_view>& words);
  Result<bool> rejected_or_lost(RedisClient& reader);
  Received take(const redisReply& message, Buckets& changed) const;
  Result<void> ping(int64_t now_ms);

  RedisClient subscriber_;
  std::unordered_map<std::string, uint32_t> bucket_of_;  // by key
  std::string rejection_;
  int64_t ping_at_ms_ = 0;  // when the next one is due
  // When a ping was sent after which nothing has come; 0: there is none.
  int64_t unanswered_since_ms_ = 0;
};

}  // namespace huntd::aggregator
