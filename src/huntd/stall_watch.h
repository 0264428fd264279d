// Tells of ticks that took long, and of what the core was doing meanwhile. A timer on the thread's
// CPU clock sends it a signal every few ms that it runs, so an idle core gets none; the first one
// that comes in a tick already long takes the stack. One watch a process: the handler is static.
#pragma once
#include <time.h>

#include <cstdint>

#include "base/limits.h"

namespace huntd {

class StallWatch {
 public:
  // What a long tick's time went into, for the most part.
  enum class Stall {
    none,    // it was not long
    ran,     // computing: the stack says what
    waited,  // others had the CPU
    away,    // neither: stopped, asleep in the kernel, or the hypervisor ran somebody else
  };
  explicit StallWatch(uint64_t long_ns = limits::tick_long_ns) : long_ns_(long_ns) {}
  ~StallWatch();
  StallWatch(const StallWatch&) = delete;
  StallWatch& operator=(const StallWatch&) = delete;

  // Starts the timer. Where the kernel refuses it the log says so, and long ticks have no stacks.
  void watch_this_thread();

  // Around a tick's work, with the times at CLOCK_MONOTONIC. Where the tick was long the log says
  // so, one line a second.
  void begin(uint64_t now_ns);
  Stall end(uint64_t now_ns);

 private:
  void report(uint64_t tick_ns, uint64_t cpu_ns, uint64_t waited_ns, Stall stall) const;
  uint64_t read_waited_ns() const;

  uint64_t const long_ns_;
  timer_t timer_{};
  bool has_timer_ = false;
  uint64_t began_ns_ = 0;
  int schedstat_ = -1;             // of the thread, open
  uint64_t marked_at_ns_ = 0;      // when the CPU clock and the waiting were last read,
  uint64_t marked_cpu_ns_ = 0;     // and what they were
  uint64_t marked_waited_ns_ = 0;  //
  uint64_t report_at_ns_ = 0;      // no line before
  uint64_t left_out_ = 0;          // long ticks since the last line
};

}  // namespace huntd
