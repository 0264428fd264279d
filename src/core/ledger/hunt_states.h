// SPDX-License-Identifier: Apache-2.0
// The hash `hunts` of Redis: which hunts are closed, and the floor of each. Operators change it
// with huntctl; a core reads it before the first hunt on a connection, and while requests come
// every limits::hunts_read_ms (decision 29).
#pragma once
#include <string>

#include "base/limits.h"
#include "base/pool.h"
#include "base/scheduler.h"
#include "base/task.h"
#include "core/ledger/redis_nodes.h"
#include "wire/generation.h"
#include "wire/redis_keys.h"

namespace huntd::server {

class HuntStates {
 public:
  HuntStates(RedisNodes& redis, Scheduler& scheduler) : redis_(redis), scheduler_(scheduler) {}

  // The copy is of this connection (of a cluster: of any), and not older than limits::hunts_read_ms.
  bool fresh() const { return is_younger(limits::hunts_read_ms); }
  // Makes the copy usable: of this connection, and not older than limits::hunts_stale_ms. Waits
  // only if it is not; a copy that is not fresh() is read again meanwhile. Returns false if it
  // can't be read before the deadline: reason() says why.
  Task<bool> refresh(uint64_t deadline_at_ns);
  // The state of a hunt in the copy. A hunt whose state can't be read is closed.
  HuntState of(const PoolString& hunt_id) const;
  std::string_view reason() const { return reason_; }

 private:
  bool usable() const { return is_younger(limits::hunts_stale_ms); }
  bool is_younger(uint64_t age_ms) const;
  Task<> read();
  bool take(const RedisReply& reply);

  RedisLink& link() const { return redis_.of_key(keys::hunts); }

  RedisNodes& redis_;
  Scheduler& scheduler_;
  PoolMap<PoolString, HuntState> states_;
  // When the copy was asked for, and on which connection (from 1; 0: there is no copy).
  uint64_t read_at_ns_ = 0;
  uint64_t connection_ = 0;
  bool reading_ = false;
  PoolVector<OneShot<Signal>*> waiters_;  // for the end of a read
  std::string reason_;     // why the latest read failed, or was not tried; else empty
  std::string malformed_;  // what was logged of the latest copy
};

}  // namespace huntd::server
