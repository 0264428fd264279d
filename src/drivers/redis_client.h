// SPDX-License-Identifier: Apache-2.0
// A blocking connection to Redis, on hiredis, for hunt-aggregator and huntctl. Cores use
// core/ledger/redis_link.h.
#pragma once
#include <hiredis/hiredis.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/name_lookup.h"
#include "base/named_primary.h"
#include "base/result.h"
#include "config/config.h"
#include "drivers/driver_limits.h"
#include "drivers/tls_socket.h"

namespace huntd {

using RedisReply = std::unique_ptr<redisReply, void (*)(void*)>;

// Returns the text of a string or status reply; empty for any other reply.
std::string_view text_of(const redisReply* reply);

class RedisCluster;

class RedisClient {
 public:
  // `own_timeout_ms`: as peer_timeout_ms() takes it.
  explicit RedisClient(Config::Redis config, uint32_t own_timeout_ms = limits::peer_timeout_ms);
  ~RedisClient();
  RedisClient(RedisClient&&) noexcept;
  RedisClient& operator=(RedisClient&&) noexcept;

  // Connects, authenticates and selects the database; does nothing if connected. Names are looked up
  // each time, and all addresses tried in turn until one lets the client in and, if there are several,
  // is a primary. With redis.sentinels, connects to the primary that more than half of them name;
  // if there is no such majority, tries each that one names. A connection that can't be made takes at most peer_timeout_ms() for all of them, and as
  // long again for the replies; a sentinel at most limits::sentinel_timeout_ms, and all of them
  // limits::sentinels_timeout_ms. Reads the password
  // file every time, so a changed password needs no restart. A world-readable password file is an
  // error. An error names each address and why it failed. With redis.cluster, reads which node has which
  // slot; each command then goes to the node that has its key (drivers/redis_cluster.h).
  Result<void> connect();
  // The same, at the address to which `other` is connected: another one of the name may be another
  // server. REQUIRES: `other` is connected.
  Result<void> connect_beside(const RedisClient& other);
  bool connected() const;
  void close();
  // Closes the connection, and returns an error, if the server is a replica: it accepts no write, and
  // its primary may have another address now. The next connect() tries this address last. A server
  // that may not be asked counts as a primary.
  Result<void> check_primary();
  // Whether more than half of redis.sentinels, if set, name another primary than the one to which
  // this is connected. Takes at most limits::sentinels_timeout_ms.
  bool is_replaced();

  // Appends a command to the pipeline; read() sends it.
  void append(const std::vector<std::string_view>& words);
  // Returns the next reply of the pipeline. A Redis error reply is an Error; the connection stays
  // open. If the connection is lost, it is closed, and the pipeline is emptied.
  Result<RedisReply> read();
  // append() and read().
  Result<RedisReply> execute(const std::vector<std::string_view>& words);
  // Of a cluster: the primaries that have slots; else 1. Their order is that of the latest connect() or
  // layout().
  size_t primaries() const;
  // execute() at one of them. REQUIRES: no reply is due.
  Result<RedisReply> execute_at(size_t primary, const std::vector<std::string_view>& words);
  // Of a cluster, a text that is another one if a slot has moved; an error if one moves now. Else empty.
  Result<std::string> layout();
  bool is_cluster() const { return cluster_ != nullptr; }
  // Sends what append() has queued, and waits for no reply.
  Result<void> send();
  // Returns the next reply or message if it has arrived, and waits for none. Errors are those of
  // read(). On a connection that expects no reply it notices that Redis has closed it.
  Result<std::optional<RedisReply>> received();
  // The socket, to wait for input by poll(2); -1 if not connected.
  int fd() const { return context_ ? context_->fd : -1; }

 private:
  // A server, or one address of it.
  struct Candidate {
    Address address;
    std::string shown;   // in errors: of a name, with the address
    std::string server;  // as the config, or a sentinel, has it
  };
  enum class Peer { redis, sentinel };
  RedisClient(Config::Redis config, Peer peer, uint32_t own_timeout_ms);
  uint32_t timeout_ms() const;
  std::string key(std::string_view name) const;
  Result<void> connect_until(int64_t give_up_at_ms);
  Result<void> try_each(std::vector<Candidate> candidates, std::string failures,
                        int64_t give_up_at_ms);
  Result<PrimaryChoice> ask_sentinels();
  Result<NamedPrimary> ask_sentinel(size_t index, int64_t give_up_at_ms);
  std::vector<Candidate> configured_servers(std::string& failures) const;
  std::vector<Candidate> find_candidates(const std::vector<Candidate>& servers,
                                         std::string& failures, int64_t give_up_at_ms);
  Result<std::vector<Address>> look_up(const Address& name, int64_t give_up_at_ms);
  Result<void> connect_to(const Candidate& candidate, int64_t give_up_at_ms);
  Result<void> secure(int64_t give_up_at_ms);
  Result<void> authenticate();
  bool receive();
  bool readable_until(int64_t give_up_at_ms) const;
  // Closes the connection after an error of it.
  Error lost();
  // Takes the reply over.
  static Result<RedisReply> checked(void* received);

  Config::Redis config_;
  Peer peer_ = Peer::redis;
  uint32_t own_timeout_ms_;
  std::unique_ptr<RedisCluster> cluster_;      // with redis.cluster, and then nothing below is used
  std::string connected_to_;                   // as in errors: of a name, with the address
  Address at_;                                 // the present or last one that was tried
  std::string left_;                           // the address of a replica that was left
  std::map<std::string, NameLookup> lookups_;  // by name
  std::vector<std::unique_ptr<RedisClient>>
      sentinels_;                            // of the config; empty before the first question
  std::vector<bool> silent_;                 // each sentinel: named no primary at the last question
  int64_t question_ends_at_ms_ = INT64_MAX;  // of a sentinel: no reply is waited for longer
  std::string server_;  // as the config, or a sentinel, has it: of the present or last connection
  std::unique_ptr<redisContext, void (*)(redisContext*)> context_{nullptr, &redisFree};
  std::unique_ptr<TlsSocket> tls_;  // with redis.tls: over the socket of context_
  std::string out_;                 // with TLS: the commands that are not sent
  std::string fault_;               // with TLS: why the connection is lost; empty: silence
};

}  // namespace huntd
