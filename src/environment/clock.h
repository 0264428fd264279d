// SPDX-License-Identifier: Apache-2.0
// Time and randomness.
#pragma once
#include <cstdint>

namespace huntd::server {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t now_ns() = 0;  // CLOCK_MONOTONIC
  virtual int64_t wall_ms() = 0;  // since the Unix epoch
  virtual uint64_t random() = 0;  // 64 unpredictable bits
};

}  // namespace huntd::server
