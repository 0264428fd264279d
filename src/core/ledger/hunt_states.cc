// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/hunt_states.h"

#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "wire/redis_keys.h"

namespace huntd::server {
namespace {

constexpr uint64_t read_timeout_ns = 2'000'000'000;

}  // namespace

bool HuntStates::is_younger(uint64_t age_ms) const {
  bool const young = connection_ != 0 && scheduler_.now_ns() <= read_at_ns_ + age_ms * ns_per_ms;
  // The node of a cluster that has the hash is one of several: while it is down, the others go on
  // with the copy for as long as it counts.
  if (redis_.is_cluster()) return young;
  return young && link().up() && connection_ == link().connections();
}

HuntState HuntStates::of(const PoolString& hunt_id) const {
  auto const entry = states_.find(hunt_id);
  return entry == states_.end() ? HuntState() : entry->second;
}

Task<bool> HuntStates::refresh(uint64_t deadline_at_ns) {
  for (int tries = 0; !fresh() && tries < limits::redis_tries_max; ++tries) {
    if (!link().up()) {
      if (redis_.is_cluster() && usable()) break;
      bool const up = co_await link().usable(deadline_at_ns);
      if (!up) {
        if (redis_.is_cluster()) reason_ = redis_.hunts_fault();
        break;
      }
    }
    if (!reading_) start(read());
    if (usable() || scheduler_.now_ns() >= deadline_at_ns) break;
    if (!reading_) continue;
    OneShot<Signal> slot(scheduler_);
    waiters_.push_back(&slot);
    co_await slot.wait(deadline_at_ns);
    std::erase(waiters_, &slot);
  }
  co_return usable();
}

// Never more than one at a time.
Task<> HuntStates::read() {
  reading_ = true;
  uint64_t const asked_at_ns = scheduler_.now_ns();
  uint64_t const connection = link().connections();
  PoolVector<std::string_view> words{"HGETALL", keys::hunts};
  RedisReply const reply = co_await redis_.command(std::move(words), asked_at_ns + read_timeout_ns);
  if (take(reply)) {
    read_at_ns_ = asked_at_ns;
    connection_ = connection;
  }
  reading_ = false;
  for (OneShot<Signal>* waiter : std::exchange(waiters_, {})) waiter->set({});
}

bool HuntStates::take(const RedisReply& reply) {
  reason_.clear();
  if (reply.lost())
    reason_ = "no reply to HGETALL hunts";
  else if (reply.is_error())
    reason_ = "HGETALL hunts: " + std::string(reply.text());
  else if (!reply.is_array() || reply.size() % 2 != 0)
    reason_ = "HGETALL hunts: a malformed reply";
  if (!reason_.empty()) return false;
  states_.clear();
  std::string malformed;
  for (size_t i = 0; i < reply.size(); i += 2) {
    std::optional<HuntState> const state = read_hunt_state(reply[i + 1].text());
    if (!state && malformed.empty()) malformed = reply[i].text();
    // Of a later release, or written by hand: nothing is awarded until it is known.
    states_[PoolString(reply[i].text())] = state.value_or(HuntState{true, generation_max, 0});
  }
  if (!malformed.empty() && malformed != malformed_)
    log::error("the state of a hunt can't be read: the hunt is closed",
               {{"hunt_id", malformed}, {"hint", "correct the field (docs/formats/redis.md)"}});
  malformed_ = std::move(malformed);
  return true;
}

}  // namespace huntd::server
