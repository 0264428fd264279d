// SPDX-License-Identifier: Apache-2.0
// The periodic sweep of a core: emits events that stayed in an outbox, and resolves stale
// reservations of supplies. Both are left by crashed cores or by an unavailable Kafka. Then it looks
// what is left of supplies.
#pragma once
#include "core/events/emitter.h"
#include "core/ledger/ledger.h"
#include "core/ledger/redis_nodes.h"
#include "core/ledger/supply.h"
#include "core/route/core_map.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

// The parts of a core that the sweep uses. Every reference outlives the sweep.
struct SweepContext {
  Scheduler& scheduler;
  Clock& clock;
  CoreMetrics& metrics;
  const CoreMap& map;
  uint32_t core;  // sweeps the buckets that this core serves
  RedisNodes& redis;
  Ledger& ledger;
  Supply& supply;
  Emitter& emitter;
  uint64_t event_age_ms;  // emit events that have been in an outbox for this long
};

class Sweep {
 public:
  explicit Sweep(const SweepContext& context) : context_(context) {}
  // Sweeps every few seconds, if Redis is up. Never returns.
  Task<> run();
  // Starts no further sweep, and ends a running one early.
  void stop() { stopped_ = true; }

 private:
  struct OutboxWalk;
  bool may_sweep() const { return !stopped_ && context_.redis.up(); }
  bool serves(uint32_t bucket) const { return context_.map.server(bucket) == context_.core; }
  Task<> walk_outboxes(OutboxWalk& walk);
  Task<> look_at_supplies();

  SweepContext context_;
  bool stopped_ = false;
  size_t next_row_ = 0;  // of the loot table, where the next look begins
};

}  // namespace huntd::server
