// SPDX-License-Identifier: Apache-2.0
#include "core/sweep.h"

#include "base/clock.h"
#include "base/limits.h"

namespace huntd::server {
namespace {

constexpr uint64_t sweep_period_ns = 5 * ns_per_s;

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
