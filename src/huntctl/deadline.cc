// SPDX-License-Identifier: Apache-2.0
#include "huntctl/deadline.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "drivers/peer_timeout.h"
#include "huntctl/output.h"

namespace huntd::huntctl {
namespace {

constexpr int64_t never_ms = std::numeric_limits<int64_t>::max();
// A client's own timeout has the better error, so the thread ends the process a little later.
constexpr int64_t grace_ms = 250;
constexpr int64_t shortest_answer_ms = 10;

struct Watch {
  std::mutex mutex;
  std::condition_variable changed;
  bool runs = false;
  int64_t timeout_ms = 0;         // of --timeout; 0: not given
  int64_t command_ms = never_ms;  // when the command has to end
  int64_t call_ms = never_ms;     // when the present call has to end
  int64_t call_bound_ms = 0;
  std::string peer;
};

// Never destroyed: its thread runs until the process ends.
Watch& watch() {
  static Watch& made = *new Watch;
  return made;
}

std::string expiry_text(const Watch& state, bool of_command) {
  std::string const peer = state.peer.empty() ? "a peer" : state.peer;
  if (!of_command)
    return fmt::format("no reply from {} within {}", peer, seconds_text(state.call_bound_ms));
  return fmt::format("the command did not end within {} (--timeout): it waits for {}",
                     seconds_text(state.timeout_ms), peer);
}

void run() {
  Watch& state = watch();
  std::unique_lock lock(state.mutex);
  for (;;) {
    int64_t const now_ms = monotonic_ms();
    int64_t const until_ms = std::min(state.command_ms, state.call_ms);
    if (now_ms >= until_ms) {
      end_unreachable(expiry_text(state, state.command_ms <= state.call_ms));
      return;  // the command has ended by itself
    }
    if (until_ms == never_ms)
      state.changed.wait(lock);
    else
      state.changed.wait_for(lock, std::chrono::milliseconds(until_ms - now_ms));
  }
}

// REQUIRES: the lock is held.
void start_thread(Watch& state) {
  if (!std::exchange(state.runs, true)) std::thread(&run).detach();
  state.changed.notify_one();
}

}  // namespace

void start_timeout(int64_t timeout_ms, bool each_reply_only) {
  set_peer_timeout_ms(static_cast<uint32_t>(timeout_ms));
  Watch& state = watch();
  std::lock_guard const lock(state.mutex);
  state.timeout_ms = timeout_ms;
  if (each_reply_only) return;
  state.command_ms = monotonic_ms() + timeout_ms + grace_ms;
  start_thread(state);
}

int64_t answer_timeout_ms() {
  Watch& state = watch();
  std::lock_guard const lock(state.mutex);
  int64_t const timeout_ms = state.timeout_ms > 0 ? state.timeout_ms : answer_timeout_ms_default;
  if (state.command_ms == never_ms) return timeout_ms;
  int64_t const left_ms = state.command_ms - grace_ms - monotonic_ms();
  return std::clamp(left_ms, shortest_answer_ms, std::max(timeout_ms, shortest_answer_ms));
}

void pause_command(int64_t ms) {
  {
    Watch& state = watch();
    std::lock_guard const lock(state.mutex);
    if (state.command_ms != never_ms) state.command_ms += ms;
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

PeerCall::PeerCall(std::string peer, int64_t bound_ms) {
  Watch& state = watch();
  std::lock_guard const lock(state.mutex);
  previous_ = std::exchange(state.peer, std::move(peer));
  if (bound_ms == 0) return;
  state.call_bound_ms = bound_ms;
  state.call_ms = monotonic_ms() + bound_ms + grace_ms;
  start_thread(state);
}

PeerCall::~PeerCall() {
  Watch& state = watch();
  std::lock_guard const lock(state.mutex);
  state.peer = std::move(previous_);
  state.call_ms = never_ms;
}

std::string seconds_text(int64_t ms) {
  return fmt::format("{:g} s", static_cast<double>(ms) / 1000);
}

}  // namespace huntd::huntctl
