// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/task.h"

namespace huntd::server::sim {
namespace {

constexpr uint64_t pause_after_stop_ns = 5 * s;
constexpr uint64_t idle_tick_ns = 250 * ms;  // as linux/core_process.cc

}  // namespace

Machine::Machine(World& world, uint32_t core, uint32_t incarnation)
    : world_(world), core_(core), incarnation_(incarnation), started_at_ns_(world.now_ns()) {
  scheduler_.set_now(world.now_ns());
}

void Machine::post(std::function<void()> completion) {
  if (!alive_) return;
  completions_.push_back(std::move(completion));
  // A tick takes time; what completes meanwhile waits for the next one.
  if (!in_tick_) wake_at(world_.now_ns() + world_.random.between(1 * us, 30 * us));
}

void Machine::run(Core& core) {
  running_ = &core;
  size_t const before = coroutines_alive();
  core.start();
  coroutines_ += coroutines_alive() - before;
  for (auto& flush : flushes_) flush();
  for (auto& request : std::exchange(staged_, {})) request();
  wake_at(world_.now_ns());
}

bool Machine::may_be_stopped() const {
  return stops_in_tick_ns_ == 0 && world_.now_ns() >= stopped_until_ns_ + pause_after_stop_ns;
}

void Machine::stop_until(uint64_t until_ns) {
  stopped_until_ns_ = std::max(stopped_until_ns_, until_ns);
}

void Machine::wake_at(uint64_t when_ns) {
  if (!alive_ || when_ns >= tick_at_ns_) return;
  tick_at_ns_ = when_ns;
  uint64_t const number = ++tick_number_;
  world_.at(when_ns, [this, number] {
    if (alive_ && number == tick_number_) tick();
  });
}

void Machine::tick() {
  tick_at_ns_ = never_ns;
  if (world_.now_ns() < stopped_until_ns_) return wake_at(stopped_until_ns_);
  in_tick_ = true;
  log::set_origin(name());
  size_t const before = coroutines_alive();
  scheduler_.set_now(world_.now_ns());
  for (auto& completion : std::exchange(completions_, {})) completion();
  running_->tick();
  for (auto& flush : flushes_) flush();
  done_ = running_->done();
  if (done_) {
    running_->finish();
    for (auto& flush : flushes_) flush();
  }
  coroutines_ += coroutines_alive() - before;
  log::set_origin("");
  in_tick_ = false;
  std::vector<std::function<void()>> requests = std::exchange(staged_, {});
  if (stops_in_tick_ns_ == 0 || waits_for_commit_) return submit(std::move(requests));
  uint64_t const until_ns = world_.now_ns() + std::exchange(stops_in_tick_ns_, 0);
  stop_until(until_ns);
  tick_at_ns_ = until_ns;  // no other event wakes it
  world_.at(until_ns, [this, requests = std::move(requests)]() mutable {
    tick_at_ns_ = never_ns;
    if (alive_) submit(std::move(requests));
  });
}

void Machine::submit(std::vector<std::function<void()>> requests) {
  // Killed before all requests were submitted.
  bool const dies = dies_in_tick_ && !waits_for_commit_;
  if (dies) requests.resize(world_.random.below(requests.size() + 1));
  for (auto& request : requests) request();
  if (dies || done_) return kill();
  uint64_t const now_ns = world_.now_ns();
  if (scheduler_.has_ready() || !completions_.empty())
    wake_at(now_ns + world_.random.between(1 * us, 30 * us));
  else
    wake_at(std::clamp(scheduler_.next_deadline_at_ns(), now_ns + 1, now_ns + idle_tick_ns));
}

void Machine::kill() {
  if (!alive_) return;
  alive_ = false;
  completions_.clear();
  staged_.clear();
  for (auto& what : std::exchange(deaths_, {})) what();
}

}  // namespace huntd::server::sim
