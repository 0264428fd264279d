// SPDX-License-Identifier: Apache-2.0
// Whether a process that starts workers (the spawner, a zygote) answers: it is asked once per
// second. One that is stopped, or hangs in an exec, does not.
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/limits.h"

namespace huntd::server {

class LauncherWatch {
 public:
  // Call once per tick (CLOCK_MONOTONIC). Returns whether the process is to be asked now.
  bool tick(uint64_t now_ns) {
    // Capped: if the core itself was stopped, its reply may have come meanwhile.
    uint64_t const elapsed_ns =
        last_tick_ns_ == 0 ? 0 : std::min(now_ns - last_tick_ns_, limits::launcher_tick_max_ns);
    last_tick_ns_ = now_ns;
    if (asked_) {
      waited_ns_ += elapsed_ns;
      return false;
    }
    if (now_ns < ask_at_ns_) return false;
    asked_ = true;
    waited_ns_ = 0;
    ask_at_ns_ = now_ns + limits::launcher_ask_period_ns;
    return true;
  }
  // It has sent something: the reply, or a report.
  void received(bool reply) {
    waited_ns_ = 0;
    if (reply) asked_ = false;
  }
  bool silent() const { return waited_ns_ >= limits::launcher_silence_max_ns; }

 private:
  uint64_t last_tick_ns_ = 0;
  uint64_t ask_at_ns_ = 0;
  uint64_t waited_ns_ = 0;  // since it was asked, or has sent something
  bool asked_ = false;      // and has not replied
};

}  // namespace huntd::server
