// One life of one core in place of its process: turns on virtual time, what came since the last
// turn, and what a turn asked the kernel for. A crash may fall between a turn and the system call
// that would have told the kernel of it.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "huntd/core.h"
#include "world.h"

namespace huntd::sim {

class Machine {
 public:
  Machine(World& world, uint32_t core, uint32_t epoch);
  // A dead life stays in memory: coroutines in mid-wait can't be taken apart (base/task.h).
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  World& world() { return world_; }
  Scheduler& scheduler() { return scheduler_; }
  uint32_t core_index() const { return core_; }
  std::string name() const { return fmt::format("core{}.{}", core_, epoch_); }
  bool alive() const { return alive_; }

  // Something came from outside: `completion` runs in the next turn's reap step.
  void post(std::function<void()> completion);
  // Something for the kernel, within a turn: it happens at the turn's end.
  void stage(std::function<void()> request) { staged_.push_back(std::move(request)); }
  // The batches that leave at the end of a turn, in this order.
  void flush_with(std::function<void()> flush) { flushes_.push_back(std::move(flush)); }

  void run(Core& core);
  // SIGSTOP until then. One that was stopped is left alone for a while after it: requests have a
  // bound in time only where cores run.
  bool may_be_stopped() const;
  bool stopped() const { return world_.now_ns() < stopped_until_ns_; }
  // What was to come in a next turn does not.
  void spare() { dies_in_turn_ = waits_for_commit_ = false, stops_in_turn_ns_ = 0; }
  void stop_until(uint64_t until_ns);
  // SIGKILL, now or in the middle of its next turn.
  void kill();
  void kill_in_next_turn() { dies_in_turn_ = true; }
  // SIGSTOP between a turn and the system call that tells the kernel of it; or SIGKILL there. Where
  // `commits`, the first such turn in which loot is sent to Redis.
  void stop_in_next_turn(uint64_t for_ns, bool commits) {
    stops_in_turn_ns_ = for_ns;
    waits_for_commit_ = commits;
  }
  void kill_in_next_commit() { waits_for_commit_ = dies_in_turn_ = true; }
  // Within a turn: a commit leaves with it.
  void note_commit() { waits_for_commit_ = false; }
  // What happens when it is gone, whoever killed it: in this order, with the kernel's clean-up
  // first.
  void on_death(std::function<void()> what) { deaths_.push_back(std::move(what)); }
  bool done() const { return done_; }
  // Coroutines that this life has.
  size_t coroutines() const { return coroutines_; }

 private:
  void wake_at(uint64_t when_ns);
  void turn();
  void submit(std::vector<std::function<void()>> requests);

  World& world_;
  uint32_t core_;
  uint32_t epoch_;
  bool alive_ = true;
  bool done_ = false;
  bool in_turn_ = false;
  bool dies_in_turn_ = false;
  uint64_t stops_in_turn_ns_ = 0;
  bool waits_for_commit_ = false;
  Scheduler scheduler_;
  Core* running_ = nullptr;
  uint64_t stopped_until_ns_ = 0;
  uint64_t turn_at_ns_ = never_ns;
  uint64_t turn_number_ = 0;
  size_t coroutines_ = 0;
  std::vector<std::function<void()>> came_;
  std::vector<std::function<void()>> staged_;
  std::vector<std::function<void()>> flushes_;
  std::vector<std::function<void()>> deaths_;
};

// The time of one core: virtual, and a wall clock that may be wrong.
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

}  // namespace huntd::sim
