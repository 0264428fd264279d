// SPDX-License-Identifier: Apache-2.0
// Asks Redis Sentinel which server is the primary (redis.io, "Sentinel clients spec").
#pragma once
#include <hiredis/hiredis.h>

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/named_primary.h"
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
  // The primary called `name`, as the sentinel has it. Waits for limits::sentinel_wait_ns at most, and
  // until `deadline_at_ns`. `rejected`: whether the login was. REQUIRES: free(); `at` is numeric; one
  // coroutine at a time.
  Task<Result<NamedPrimary>> ask(Address at, std::string name, const RedisLogin& login,
                                 uint64_t deadline_at_ns, bool& rejected);
  // Ends ask(), if it waits, with an error.
  void give_up();

 private:
  void on_connected(Result<StreamPtr> stream) override;
  void on_bytes(std::string_view bytes) override;
  void on_end(int error) override;
  void on_sent(int error) override;
  void send(std::string_view name, const RedisLogin& login);
  Result<NamedPrimary> read_replies(std::string_view name, bool& rejected) const;
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
        login_(std::move(login)),
        silent_(servers_.sentinels.size()) {}

  // Logs in so from the next call on.
  void use(RedisLogin login) { login_ = std::move(login); }

  struct Named {
    PrimaryChoice choice;
    std::string failures;  // for each sentinel that named none, why
  };
  // Asks one sentinel after the other, each for limits::sentinel_wait_ns at most per address and all
  // for limits::sentinels_wait_ns, until a majority of all names one primary. Those that named none
  // at the last question are asked last. REQUIRES: one coroutine at a time.
  Task<Named> primary();
  // Ends primary(), if it waits, with what it has.
  void give_up();

 private:
  bool may_ask() const { return !given_up_ && scheduler_.now_ns() < deadline_at_ns_; }
  Task<Result<NamedPrimary>> ask(size_t index);
  Task<Result<NamedPrimary>> ask_at(Address at);

  Network& network_;
  Lookup& lookup_;
  Scheduler& scheduler_;
  RedisServers const servers_;
  RedisLogin login_;
  std::vector<bool> silent_;  // each sentinel: named no primary at the last question
  bool asking_ = false;
  bool given_up_ = false;
  uint64_t deadline_at_ns_ = 0;  // of the question
  std::deque<SentinelCall> calls_;
};

}  // namespace huntd::server
