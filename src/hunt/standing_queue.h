// Tells a burst from a queue that stands: one that has not been empty for half a second holds more
// than can be served. What CoDel watches at a router (RFC 8289), at the queue for workers; decision
// 16.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/limits.h"

namespace huntd {

class StandingQueue {
 public:
  // The queue was empty and holds its first.
  void on_first(uint64_t now_ns) { since_ns_ = now_ns; }

  // One got what it asked for, whether it waited or not.
  void on_served(uint64_t now_ns, uint64_t target_ns) {
    turn_window(now_ns, target_ns);
    ++served_;
  }

  // One was refused, or gave up, because the queue stands.
  void on_refused(uint64_t now_ns) { refused_at_ns_ = now_ns; }

  // Whether it stands; `slow`: its oldest has waited for the target. Refusing empties it, so it
  // does so until nobody has been refused for as long again.
  bool stands(uint64_t now_ns, bool slow) {
    if (stands_ && now_ns - refused_at_ns_ >= limits::queue_stands_after_ns) stands_ = false;
    if (!stands_ && slow && now_ns - since_ns_ >= limits::queue_stands_after_ns) {
      stands_ = true;
      refused_at_ns_ = now_ns;
    }
    return stands_;
  }

  // How many may wait in one that stands: as many as were served in the last whole target time, so
  // that whoever waits is served within about another.
  size_t room(uint64_t now_ns, uint64_t target_ns) {
    turn_window(now_ns, target_ns);
    return std::max<size_t>(served_before_, 1);
  }

 private:
  void turn_window(uint64_t now_ns, uint64_t target_ns) {
    uint64_t const age_ns = now_ns - window_at_ns_;
    if (age_ns < target_ns) return;
    served_before_ = age_ns < 2 * target_ns ? served_ : 0;
    served_ = 0;
    window_at_ns_ = now_ns;
  }

  uint64_t since_ns_ = 0;
  uint64_t refused_at_ns_ = 0;
  bool stands_ = false;
  uint64_t window_at_ns_ = 0;
  size_t served_ = 0;         // in this window
  size_t served_before_ = 0;  // and in the one before
};

}  // namespace huntd
