// SPDX-License-Identifier: Apache-2.0
// A blocking connection to Redis, on hiredis, for hunt-aggregator and huntctl. Cores use
// core/ledger/redis_link.h.
#pragma once
#include <hiredis/hiredis.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/config.h"

namespace huntd {

using RedisReply = std::unique_ptr<redisReply, void (*)(void*)>;

// Returns the text of a string or status reply; empty for any other reply.
std::string_view text_of(const redisReply* reply);

class RedisClient {
 public:
  // Address, password file and database are those of [redis] in the config.
  RedisClient(std::string address, std::string password_file, uint32_t database);

  // Connects, authenticates and selects the database; does nothing if connected. Reads the password
  // file every time, so a changed password needs no restart. A world-readable password file is an
  // error.
  Result<void> connect();
  bool connected() const { return context_ != nullptr; }
  void close() { context_.reset(); }

  // Appends a command to the pipeline; read() sends it.
  void append(const std::vector<std::string_view>& words);
  // Returns the next reply of the pipeline. A Redis error reply is an Error; the connection stays
  // open. If the connection is lost, it is closed, and the pipeline is emptied.
  Result<RedisReply> read();
  // append() and read().
  Result<RedisReply> execute(const std::vector<std::string_view>& words);
  // Sends what append() has queued, and waits for no reply.
  Result<void> send();
  // Returns the next reply or message if it has arrived, and waits for none. Errors are those of
  // read(). On a connection that expects no reply it notices that Redis has closed it.
  Result<std::optional<RedisReply>> received();
  // The socket, to wait for input by poll(2); -1 if not connected.
  int fd() const { return context_ ? context_->fd : -1; }

 private:
  Result<void> authenticate();
  // Closes the connection after an error of it.
  Error lost();
  // Takes the reply over.
  static Result<RedisReply> checked(void* received);

  std::string address_;
  std::string password_file_;
  uint32_t database_;
  std::unique_ptr<redisContext, void (*)(redisContext*)> context_{nullptr, &redisFree};
};

}  // namespace huntd
