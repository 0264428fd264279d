// One blocking connection to Redis, on hiredis, for programs that may wait: hunt-aggregator and
// huntctl. The cores have their own on the ring (award/redis_link.h).
#pragma once
#include <hiredis/hiredis.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/result.h"

namespace huntd {

using RedisAnswer = std::unique_ptr<redisReply, void (*)(void*)>;

// The text of a string or status reply; empty for any other.
std::string_view text_of(const redisReply* reply);

class RedisClient {
 public:
  // Address, password file and database as in [redis] of the config.
  RedisClient(std::string address, std::string password_file, uint32_t database);

  // Connects, authenticates and selects the database, unless connected. The password file is read
  // each time, so a changed password needs no restart.
  Result<void> connect();
  bool connected() const { return context_ != nullptr; }
  void close() { context_.reset(); }

  // Puts a command into the pipeline; nothing is sent before read().
  void append(const std::vector<std::string_view>& words);
  // The next reply of the pipeline. A Redis error reply is an Error as well (the link stays); after
  // a lost connection the link is closed and what was in the pipeline is gone.
  Result<RedisAnswer> read();
  // append() and read().
  Result<RedisAnswer> run(const std::vector<std::string_view>& words);

 private:
  Result<void> log_in();

  std::string address_;
  std::string password_file_;
  uint32_t database_;
  std::unique_ptr<redisContext, void (*)(redisContext*)> context_{nullptr, &redisFree};
};

}  // namespace huntd
