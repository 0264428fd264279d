// SPDX-License-Identifier: Apache-2.0
// When to retry a peer: at once, then after pauses that double up to a bound.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "aggregator/sessions/aggregator_limits.h"

namespace huntd::aggregator {

class Backoff {
 public:
  bool due(int64_t now_ms) const { return now_ms >= retry_at_ms_; }
  int64_t retry_at_ms() const { return retry_at_ms_; }
  // Returns whether the last attempt failed.
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

// Why a peer fails. The first error is often that a connection was closed. Why there is no new one
// follows: each cause is logged once, when it repeats.
class Causes {
 public:
  // Notes the error of one attempt; `first`: the attempt before it succeeded. Returns whether to log
  // it, for at most limits::causes_logged_max per failure.
  bool note(const std::string& error, bool first) {
    if (first) logged_.clear();
    bool const repeats = error == last_;
    last_ = error;
    bool const known = std::find(logged_.begin(), logged_.end(), error) != logged_.end();
    if (!first && (!repeats || known || logged_.size() >= limits::causes_logged_max)) return false;
    logged_.push_back(error);
    return true;
  }
  // The newest error; empty before the first one.
  const std::string& last() const { return last_; }

 private:
  std::string last_;
  std::vector<std::string> logged_;  // since the peer failed
};

}  // namespace huntd::aggregator
