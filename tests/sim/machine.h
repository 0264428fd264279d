// SPDX-License-Identifier: Apache-2.0
// One incarnation of a core, instead of its process: runs ticks in virtual time, with the
// completions since the last tick, and submits the requests of the tick to the kernel. A crash may
// come between a tick and the submission.
#pragma once
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/core.h"
#include "world.h"

namespace huntd::server::sim {

class Machine {
 public:
  Machine(World& world, uint32_t core, uint32_t incarnation);
  // A dead one is never deleted: coroutines that wait can't be destroyed (base/task.h).
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  World& world() { return world_; }
  Scheduler& scheduler() { return scheduler_; }
  uint32_t core_index() const { return core_; }
  std::string name() const { return fmt::format("core{}.{}", core_, incarnation_); }
  bool alive() const { return alive_; }

  // Runs `completion` at the start of the next tick.
  void post(std::function<void()> completion);
  // Within a tick: `request` is submitted to the kernel at the end of the tick.
  void stage(std::function<void()> request) { staged_.push_back(std::move(request)); }
  // Functions that send batches at the end of a tick, in this order.
  void flush_with(std::function<void()> flush) { flushes_.push_back(std::move(flush)); }

  void run(Core& core);
  // SIGSTOP until then. After a stop, a core may not be stopped again for a while: requests are
  // bounded in time only if cores run.
  bool may_be_stopped() const;
  bool stopped() const { return world_.now_ns() < stopped_until_ns_; }
  // For how long it has run without a stop.
  uint64_t running_ns() const {
    return world_.now_ns() - std::min(world_.now_ns(), std::max(started_at_ns_, stopped_until_ns_));
  }
  // Cancels the faults that are planned for a next tick.
  void cancel_faults() { dies_in_tick_ = waits_for_commit_ = false, stops_in_tick_ns_ = 0; }
  void stop_until(uint64_t until_ns);
  // SIGKILL, now or in the middle of the next tick.
  void kill();
  void kill_in_next_tick() { dies_in_tick_ = true; }
  // SIGSTOP or SIGKILL between a tick and its submission. `commits`: in the next tick that sends a
  // commit to Redis.
  void stop_in_next_tick(uint64_t for_ns, bool commits) {
    stops_in_tick_ns_ = for_ns;
    waits_for_commit_ = commits;
  }
  void kill_in_next_commit() { waits_for_commit_ = dies_in_tick_ = true; }
  // Within a tick that sends a commit.
  void note_commit() { waits_for_commit_ = false; }
  // Runs when the process is gone, in the order of the calls; the kernel's own clean-up comes
  // first.
  void on_death(std::function<void()> what) { deaths_.push_back(std::move(what)); }
  bool done() const { return done_; }
  // The number of coroutines of this incarnation.
  size_t coroutines() const { return coroutines_; }

 private:
  void wake_at(uint64_t when_ns);
  void tick();
  void submit(std::vector<std::function<void()>> requests);

  World& world_;
  uint32_t core_;
  uint32_t incarnation_;
  bool alive_ = true;
  bool done_ = false;
  bool in_tick_ = false;
  bool dies_in_tick_ = false;
  uint64_t stops_in_tick_ns_ = 0;
  bool waits_for_commit_ = false;
  Scheduler scheduler_;
  Core* running_ = nullptr;
  uint64_t started_at_ns_;
  uint64_t stopped_until_ns_ = 0;
  uint64_t tick_at_ns_ = never_ns;
  uint64_t tick_number_ = 0;
  size_t coroutines_ = 0;
  std::vector<std::function<void()>> completions_;
  std::vector<std::function<void()>> staged_;
  std::vector<std::function<void()>> flushes_;
  std::vector<std::function<void()>> deaths_;
};

// The clocks of a core: virtual time, and a wall clock that may be wrong.
class MachineClock final : public Clock {
 public:
  explicit MachineClock(World& world, uint64_t seed) : world_(world), random_(seed) {}
  uint64_t now_ns() override { return world_.now_ns(); }
  int64_t wall_ms() override {
    return static_cast<int64_t>(world_.now_ns() / ms) + epoch_ms + off_by_ms;
  }
  uint64_t random() override { return random_.next(); }
  static constexpr int64_t epoch_ms = 1'760'000'000'000;
  int64_t off_by_ms = 0;

 private:
  World& world_;
  Random random_;
};

}  // namespace huntd::server::sim
