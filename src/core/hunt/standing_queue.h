// SPDX-License-Identifier: Apache-2.0
// Distinguishes a burst from a standing queue. A queue that has not been empty for half a second
// receives more than can be served: it adds delay and no throughput. CoDel (RFC 8289), applied to
// the queue for workers (decision 16).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/limits.h"

namespace huntd::server {

// Times are those of the scheduler; `target_ns` is the time that a request may wait in a standing
// queue.
class StandingQueue {
 public:
  // The queue was empty and now holds one request.
  void on_first(uint64_t now_ns) { since_ns_ = now_ns; }

  // A request was admitted, whether it waited or not.
  void on_served(uint64_t now_ns, uint64_t target_ns) {
    rotate_window(now_ns, target_ns);
    ++served_;
  }

  // A request was rejected, or waited too long, because the queue is a standing queue.
  void on_rejected(uint64_t now_ns) { rejected_at_ns_ = now_ns; }

  // Whether this is a standing queue. `slow`: its oldest request has waited for the target or
  // longer. Rejections empty the queue, so it stays a standing queue until half a second has passed
  // without one.
  bool standing(uint64_t now_ns, bool slow) {
    if (standing_ && now_ns - rejected_at_ns_ >= limits::standing_queue_after_ns) standing_ = false;
    if (!standing_ && slow && now_ns - since_ns_ >= limits::standing_queue_after_ns) {
      standing_ = true;
      rejected_at_ns_ = now_ns;
    }
    return standing_;
  }

  // Whether it was a standing queue at the last standing(), and requests were rejected lately.
  bool rejecting(uint64_t now_ns) const {
    return standing_ && now_ns - rejected_at_ns_ < limits::standing_queue_after_ns;
  }

  // How many requests a standing queue may hold: as many as were admitted in the last whole window
  // of `target_ns`, so that each is admitted within about another; at least one.
  size_t room(uint64_t now_ns, uint64_t target_ns) {
    rotate_window(now_ns, target_ns);
    return std::max<size_t>(served_before_, 1);
  }

 private:
  void rotate_window(uint64_t now_ns, uint64_t target_ns) {
    uint64_t const age_ns = now_ns - window_at_ns_;
    if (age_ns < target_ns) return;
    served_before_ = age_ns < 2 * target_ns ? served_ : 0;
    served_ = 0;
    window_at_ns_ = now_ns;
  }

  uint64_t since_ns_ = 0;
  uint64_t rejected_at_ns_ = 0;
  bool standing_ = false;
  uint64_t window_at_ns_ = 0;
  size_t served_ = 0;         // in this window
  size_t served_before_ = 0;  // in the window before
};

}  // namespace huntd::server
