// SPDX-License-Identifier: Apache-2.0
// Whether a process that starts workers (the spawner, a zygote) answers: it is asked once per
// second. One that is stopped, or hangs in an exec, does not.
#pragma once
#include <cstdint>

#include "base/limits.h"

namespace huntd::server {

class LauncherWatch {
 public:
  // Call once per tick with Scheduler::ran_ns(). Returns whether the process is to be asked now.
  bool tick(uint64_t ran_ns) {
    ran_ns_ = ran_ns;
    if (asked_ || ran_ns < ask_at_ns_) return false;
    asked_ = true;
    received_at_ns_ = ran_ns;
    ask_at_ns_ = ran_ns + limits::launcher_ask_period_ns;
    return true;
  }
  // It has sent something: the reply, or a report.
  void received(bool reply) {
    received_at_ns_ = ran_ns_;
    if (reply) asked_ = false;
  }
  bool silent() const {
    return asked_ && ran_ns_ - received_at_ns_ >= limits::launcher_silence_max_ns;
  }

 private:
  uint64_t ran_ns_ = 0;  // as of this tick
  uint64_t ask_at_ns_ = 0;
  uint64_t received_at_ns_ = 0;  // when it was asked, or has sent something
  bool asked_ = false;           // and has not replied
};

}  // namespace huntd::server
