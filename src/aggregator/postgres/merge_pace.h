// SPDX-License-Identifier: Apache-2.0
// How many sessions of a batch go into one transaction: as many as the bounds on time and memory
// allow, by what the parts before have taken.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "aggregator/sessions/aggregator_limits.h"
#include "aggregator/sessions/batch.h"

namespace huntd::aggregator {

class MergePace {
 public:
  // `bytes_max` bounds the rows read and the memory of the events, `timeout_ms` each statement.
  MergePace(size_t bytes_max, int64_t timeout_ms)
      : bytes_max_(bytes_max), part_ms_(std::max<int64_t>(timeout_ms / parts_per_timeout, 1)) {}

  size_t bytes_max() const { return bytes_max_; }
  size_t sessions() const { return sessions_; }
  // The first sessions of these that go into one part: at least one.
  Sessions first_part(Sessions sessions) const {
    size_t count = 0;
    for (size_t bytes = 0; count < std::min(sessions.size(), sessions_); ++count) {
      bytes += sessions[count].event_count * event_bytes;
      if (count > 0 && bytes > bytes_max_) break;
    }
    return sessions.first(count);
  }
  // A part was merged.
  void merged(size_t sessions, size_t row_bytes, int64_t took_ms) {
    size_t const per_session = std::max<size_t>(row_bytes / std::max<size_t>(sessions, 1), 1);
    size_t const fit =
        std::clamp<size_t>(bytes_max_ / per_session / 2, 1, limits::merge_sessions_max);
    if (took_ms > part_ms_)
      failed(sessions);
    else if (sessions >= sessions_ && took_ms < part_ms_ / 2)
      sessions_ = 2 * sessions_;
    sessions_ = std::min(sessions_, fit);
  }
  // A part of so many was too large, took too long or was rejected: the next has half of them.
  void failed(size_t sessions) { sessions_ = std::max<size_t>(sessions / 2, 1); }

 private:
  static constexpr int64_t parts_per_timeout = 8;
  static constexpr size_t event_bytes = 160;  // in a slice's vectors

  size_t bytes_max_;
  int64_t part_ms_;
  size_t sessions_ = limits::merge_sessions_first;
};

}  // namespace huntd::aggregator
