// SPDX-License-Identifier: Apache-2.0
// Logs long ticks with the reason and a stack. A timer on the thread's CPU clock sends a signal
// every few milliseconds that the thread runs, so an idle core gets none; the first signal in a
// tick that is already long takes the stack. One StallWatch per process: the signal handler is
// static.
#pragma once
#include <time.h>

#include <cstdint>

#include "base/limits.h"
#include "base/unique_fd.h"

namespace huntd::server {

class StallWatch {
 public:
  // What took most of a tick's time.
  enum class Stall {
    none,     // the tick was not long
    ran,      // the thread ran; the stack shows where
    waited,   // other threads had the CPU
    stalled,  // neither: stopped, blocked in the kernel, or the hypervisor ran another VM
  };
  explicit StallWatch(uint64_t long_ns = limits::tick_long_ns) : long_ns_(long_ns) {}
  ~StallWatch();
  StallWatch(const StallWatch&) = delete;
  StallWatch& operator=(const StallWatch&) = delete;

  // Starts the timer. If that fails, logs a warning; long ticks then have no stack.
  void watch_this_thread();

  // Called before and after the work of a tick, with CLOCK_MONOTONIC. Logs a long tick, at most
  // once per second.
  void begin(uint64_t now_ns);
  Stall end(uint64_t now_ns);

 private:
  void report(uint64_t tick_ns, uint64_t cpu_ns, uint64_t waited_ns, Stall stall) const;
  uint64_t read_waited_ns() const;

  uint64_t const long_ns_;
  timer_t timer_{};
  bool has_timer_ = false;
  uint64_t started_at_ns_ = 0;
  UniqueFd schedstat_;  // of the thread
  // When the CPU time and the waiting time were last read, and their values then.
  uint64_t marked_at_ns_ = 0;
  uint64_t marked_cpu_ns_ = 0;
  uint64_t marked_waited_ns_ = 0;
  uint64_t report_at_ns_ = 0;  // no log line before
  uint64_t suppressed_ = 0;    // long ticks since the last log line
};

}  // namespace huntd::server
