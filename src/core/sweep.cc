// SPDX-License-Identifier: Apache-2.0
#include "core/sweep.h"

#include "base/clock.h"
#include "base/limits.h"
#include "core/core.h"

namespace huntd::server {
namespace {

constexpr uint64_t sweep_period_ns = 5 * ns_per_s;
static_assert(sweep_period_ns < outbox_counted_within_ns);

}  // namespace

// One walk over all buckets. Several coroutines share it, so that a slow Redis is asked about
// several outboxes at a time.
struct Sweep::OutboxWalk {
  explicit OutboxWalk(Scheduler& scheduler) : ended(scheduler) {}
  uint32_t next_bucket = 0;
  uint64_t events = 0;  // in the outboxes so far
  size_t running = limits::sweeps_parallel_max;
  OneShot<Signal> ended;  // set by the last coroutine
};

Task<> Sweep::run() {
  for (;;) {
    OneShot<Signal> pause(context_.scheduler);
    co_await pause.wait(context_.scheduler.now_ns() + sweep_period_ns);
    if (!may_sweep()) continue;
    OutboxWalk walk(context_.scheduler);
    for (size_t i = 0; i < limits::sweeps_parallel_max; ++i) start(walk_outboxes(walk));
    co_await walk.ended.wait();
    context_.metrics.set(Gauge::outbox_pending, walk.events);
    co_await context_.supply.sweep(
        [](void* context, uint32_t bucket) {
          const Sweep& sweep = *static_cast<Sweep*>(context);
          return sweep.may_sweep() && sweep.serves(bucket);
        },
        this);
    co_await look_at_supplies();
  }
}

// For the admin port: what is left of the supplies that this core has drawn on.
Task<> Sweep::look_at_supplies() {
  LootTable& loot = context_.metrics.loot;
  uint64_t const end_at_ns = context_.scheduler.now_ns() + ns_per_s;
  for (size_t looks = 0; looks < limits::supplies_looked_at_max && may_sweep(); ++looks) {
    std::optional<LootTable::SupplyAt> const supply = loot.next_supply(next_row_);
    next_row_ = supply ? supply->row + 1 : 0;
    if (!supply) co_return;  // the next walk begins again
    PoolString const hunt_id(supply->copy.hunt_id);
    PoolString const loot_id(supply->copy.loot_id);
    std::optional<uint64_t> const left =
        co_await context_.supply.left(hunt_id, loot_id, *supply->copy.limit, end_at_ns);
    if (!left) co_return;
    loot.set_left(*supply, *left, context_.clock.wall_ms());
  }
}

Task<> Sweep::walk_outboxes(OutboxWalk& walk) {
  while (walk.next_bucket < limits::buckets && may_sweep()) {
    uint32_t const bucket = walk.next_bucket++;
    if (!serves(bucket)) continue;
    uint64_t const deadline_at_ns = context_.scheduler.now_ns() + ns_per_s;
    uint64_t const length = co_await context_.ledger.outbox_length(bucket, deadline_at_ns);
    walk.events += length;
    if (length > 0) co_await context_.emitter.sweep(bucket, context_.event_age_ms);
  }
  if (--walk.running == 0) walk.ended.set(Signal());
}

}  // namespace huntd::server
