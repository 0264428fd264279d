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

#include "base/name_lookup.h"
#include "base/result.h"
#include "config/config.h"

namespace huntd {

using RedisReply = std::unique_ptr<redisReply, void (*)(void*)>;

// Returns the text of a string or status reply; empty for any other reply.
std::string_view text_of(const redisReply* reply);

class RedisClient {
 public:
  explicit RedisClient(Config::Redis config) : config_(std::move(config)) {}

  // Connects, authenticates and selects the database; does nothing if connected. A name is looked
  // up each time, and its addresses are tried in turn until one lets the client in; a connection
  // that can't be made takes at most peer_timeout_ms() for all of them, and as long again for the
  // replies. Reads the password file every time, so a changed password needs no restart. A
  // world-readable password file is an error. An error names each address and why it failed.
  Result<void> connect();
  // The same, at the address to which `other` is connected: another one of the name may be another
  // server. REQUIRES: `other` is connected.
  Result<void> connect_beside(const RedisClient& other);
  bool connected() const { return context_ != nullptr; }
  void close() { context_.reset(); }
  // Closes a connection to a server of no use. The next connect() tries this address of the name
  // last.
  void leave();

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
  Result<std::vector<Address>> look_up(const Address& name, int64_t give_up_at_ms);
  Result<void> connect_to(const Address& address, int64_t give_up_at_ms);
  Result<void> authenticate();
  // Closes the connection after an error of it.
  Error lost();
  // Takes the reply over.
  static Result<RedisReply> checked(void* received);

  Config::Redis config_;
  std::string connected_to_;  // as in errors: of a name, with the address
  Address at_;                // the present or last one that was tried
  std::string left_host_;     // of the address that leave() left
  std::unique_ptr<NameLookup> lookup_;
  std::unique_ptr<redisContext, void (*)(redisContext*)> context_{nullptr, &redisFree};
};

}  // namespace huntd
