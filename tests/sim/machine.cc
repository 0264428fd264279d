#include "machine.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/task.h"

namespace huntd::sim {
namespace {

constexpr uint64_t rest_after_stop_ns = 5 * s;
constexpr uint64_t idle_turn_ns = 250 * ms;  // as huntd/core_process.cc

}  // namespace

Machine::Machine(World& world, uint32_t core, uint32_t epoch)
    : world_(world), core_(core), epoch_(epoch) {
  scheduler_.set_now(world.now_ns());
}

void Machine::post(std::function<void()> completion) {
  if (!alive_) return;
  came_.push_back(std::move(completion));
  // A turn takes a while, and what comes meanwhile waits for the next one.
  if (!in_turn_) wake_at(world_.now_ns() + world_.random.between(1 * us, 30 * us));
}

void Machine::run(Core& core) {
  running_ = &core;
  size_t const before = coroutines_alive();
  core.begin();
  coroutines_ += coroutines_alive() - before;
  for (auto& flush : flushes_) flush();
  for (auto& request : std::exchange(staged_, {})) request();
  wake_at(world_.now_ns());
}

bool Machine::may_be_stopped() const {
  return stops_in_turn_ns_ == 0 && world_.now_ns() >= stopped_until_ns_ + rest_after_stop_ns;
}

void Machine::stop_until(uint64_t until_ns) {
  stopped_until_ns_ = std::max(stopped_until_ns_, until_ns);
}

void Machine::wake_at(uint64_t when_ns) {
  if (!alive_ || when_ns >= turn_at_ns_) return;
  turn_at_ns_ = when_ns;
  uint64_t const number = ++turn_number_;
  world_.at(when_ns, [this, number] {
    if (alive_ && number == turn_number_) turn();
  });
}

void Machine::turn() {
  turn_at_ns_ = never_ns;
  if (world_.now_ns() < stopped_until_ns_) return wake_at(stopped_until_ns_);
  in_turn_ = true;
  log::set_origin(name());
  size_t const before = coroutines_alive();
  scheduler_.set_now(world_.now_ns());
  for (auto& completion : std::exchange(came_, {})) completion();
  running_->turn();
  for (auto& flush : flushes_) flush();
  done_ = running_->done();
  if (done_) {
    running_->finish();
    for (auto& flush : flushes_) flush();
  }
  coroutines_ += coroutines_alive() - before;
  log::set_origin("");
  in_turn_ = false;
  std::vector<std::function<void()>> requests = std::exchange(staged_, {});
  if (stops_in_turn_ns_ == 0 || waits_for_commit_) return submit(std::move(requests));
  uint64_t const until_ns = world_.now_ns() + std::exchange(stops_in_turn_ns_, 0);
  stop_until(until_ns);
  turn_at_ns_ = until_ns;  // nothing else wakes it
  world_.at(until_ns, [this, requests = std::move(requests)]() mutable {
    turn_at_ns_ = never_ns;
    if (alive_) submit(std::move(requests));
  });
}

void Machine::submit(std::vector<std::function<void()>> requests) {
  // Killed before the kernel heard of all of it.
  bool const dies = dies_in_turn_ && !waits_for_commit_;
  if (dies) requests.resize(world_.random.below(requests.size() + 1));
  for (auto& request : requests) request();
  if (dies || done_) return kill();
  uint64_t const now_ns = world_.now_ns();
  if (scheduler_.has_ready() || !came_.empty())
    wake_at(now_ns + world_.random.between(1 * us, 30 * us));
  else
    wake_at(std::clamp(scheduler_.next_deadline_at_ns(), now_ns + 1, now_ns + idle_turn_ns));
}

void Machine::kill() {
  if (!alive_) return;
  alive_ = false;
  came_.clear();
  staged_.clear();
  for (auto& what : std::exchange(deaths_, {})) what();
}

}  // namespace huntd::sim
