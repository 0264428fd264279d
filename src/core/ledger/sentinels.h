// SPDX-License-Identifier: Apache-2.0
// Asks Redis Sentinel which server is the primary (redis.io, "Sentinel clients spec").
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/named_primary.h"
#include "base/scheduler.h"
#include "base/task.h"
#include "core/ledger/connect_limits.h"
#include "core/ledger/lookup.h"
#include "core/ledger/server_call.h"
#include "environment/environment.h"
#include "environment/redis_access.h"

namespace huntd::server {

// The sentinels of the config.
class Sentinels {
 public:
  // `servers` has at least one sentinel.
  Sentinels(Network& network, Lookup& lookup, Scheduler& scheduler, RedisServers servers,
            RedisLogin login);

  // Logs in so from the next call on.
  void use(RedisLogin login) { calls_.use(std::move(login)); }

  struct Named {
    PrimaryChoice choice;
    std::string failures;  // for each sentinel that named none, why
  };
  // Asks one sentinel after the other, each for limits::server_call_wait_ns at most per address and all
  // for limits::sentinels_wait_ns, until a majority of all names one primary. Those that named none
  // at the last question are asked last. REQUIRES: one coroutine at a time.
  Task<Named> primary();
  // Ends primary(), if it waits, with what it has.
  void give_up();

 private:
  bool may_ask() const { return !given_up_ && scheduler_.now_ns() < deadline_at_ns_; }
  Task<Result<NamedPrimary>> ask(size_t index);
  Task<Result<NamedPrimary>> ask_at(Address at);

  Lookup& lookup_;
  Scheduler& scheduler_;
  RedisServers const servers_;
  ServerCalls calls_;
  std::vector<bool> silent_;  // each sentinel: named no primary at the last question
  bool asking_ = false;
  bool given_up_ = false;
  uint64_t deadline_at_ns_ = 0;  // of the question
};

}  // namespace huntd::server
