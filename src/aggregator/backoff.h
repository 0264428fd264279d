// SPDX-License-Identifier: Apache-2.0
// When to retry a peer: at once, then after pauses that double up to a bound.
#pragma once
#include <algorithm>
#include <cstdint>

#include "aggregator/sessions/aggregator_limits.h"

namespace huntd::aggregator {

class Backoff {
 public:
  bool due(int64_t now_ms) const { return now_ms >= retry_at_ms_; }
  int64_t retry_at_ms() const { return retry_at_ms_; }
  // Returns whether the last attempt failed. Only the first failure after a success is logged.
  bool failing() const { return pause_ms_ != 0; }
  void failed(int64_t now_ms) {
    pause_ms_ = pause_ms_ == 0
                    ? limits::aggregator_backoff_first_ms
                    : std::min<uint64_t>(2 * pause_ms_, limits::aggregator_backoff_max_ms);
    retry_at_ms_ = now_ms + static_cast<int64_t>(pause_ms_);
  }
  void succeeded() {
    pause_ms_ = 0;
    retry_at_ms_ = 0;
  }

 private:
  uint64_t pause_ms_ = 0;
  int64_t retry_at_ms_ = 0;
};

}  // namespace huntd::aggregator
