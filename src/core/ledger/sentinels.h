// SPDX-License-Identifier: Apache-2.0
// Asks Redis Sentinel which server is the primary (redis.io, "Sentinel clients spec").
#pragma once
#include <hiredis/hiredis.h>

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/scheduler.h"
#include "base/task.h"
#include "core/ledger/lookup.h"
#include "core/ledger/redis_reply.h"
#include "environment/environment.h"
#include "environment/redis_access.h"

namespace huntd::server {

// One question to one sentinel, over a connection of its own. Reusable.
class SentinelCall final : private StreamUser, private ConnectUser {
 public:
  SentinelCall(Network& network, Scheduler& scheduler) : network_(network), scheduler_(scheduler) {}
  ~SentinelCall();
  SentinelCall(const SentinelCall&) = delete;
  SentinelCall& operator=(const SentinelCall&) = delete;

  // A connect can't be cancelled: until it has ended the object stays in use.
  bool free() const { return !connecting_; }
  // The address of the primary called `name`, as the sentinel has it: numeric or a name. `rejected`:
  // whether the login was. REQUIRES: free(); `at` is numeric; one coroutine at a time.
  Task<Result<Address>> ask(Address at, std::string name, const RedisLogin& login, bool& rejected);

 private:
  void on_connected(Result<StreamPtr> stream) override;
  void on_bytes(std::string_view bytes) override;
  void on_end(int error) override;
  void on_sent(int error) override;
  void send(std::string_view name, const RedisLogin& login);
  Result<Address> read_replies(std::string_view name, bool& rejected) const;
  void close();

  Network& network_;
  Scheduler& scheduler_;
  OneShot<Signal> changed_{scheduler_};
  bool connecting_ = false;
  bool waited_for_ = false;  // by ask()
  StreamPtr stream_;
  redisReader* reader_ = nullptr;
  size_t expected_ = 0;
  std::vector<RedisReply> replies_;
  std::string failure_;
};

// The sentinels of the config.
class Sentinels {
 public:
  // `servers` has at least one sentinel.
  Sentinels(Network& network, Lookup& lookup, Scheduler& scheduler, RedisServers servers,
            RedisLogin login)
      : network_(network),
        lookup_(lookup),
        scheduler_(scheduler),
        servers_(std::move(servers)),
        login_(std::move(login)) {}

  // Logs in so from the next call on.
  void use(RedisLogin login) { login_ = std::move(login); }

  // Asks one sentinel after the other, each for limits::sentinel_wait_ns at most per address, until
  // one knows the primary; first the one that knew it last. The error says for each why not.
  Task<Result<Address>> primary();
  // Asks one only: the one that knew last. If it fails, the next call asks the next one.
  Task<Result<Address>> primary_by_latest();

 private:
  Task<Result<Address>> ask(size_t index);
  Task<Result<Address>> ask_at(Address at);

  Network& network_;
  Lookup& lookup_;
  Scheduler& scheduler_;
  RedisServers const servers_;
  RedisLogin login_;
  size_t latest_ = 0;  // the sentinel to ask first
  std::deque<SentinelCall> calls_;
};

}  // namespace huntd::server
