// SPDX-License-Identifier: Apache-2.0
// Clock of the kernel.
#pragma once
#include <sys/random.h>

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "base/clock.h"
#include "environment/clock.h"

namespace huntd::server {

// Fetches random numbers 512 at a time.
class RealClock final : public Clock {
 public:
  uint64_t now_ns() override { return monotonic_ns(); }
  int64_t wall_ms() override { return huntd::wall_ms(); }
  uint64_t random() override {
    if (next_ == std::size(pool_)) {
      size_t have = 0;
      while (have < sizeof pool_) {
        ssize_t const got =
            getrandom(reinterpret_cast<char*>(pool_) + have, sizeof pool_ - have, 0);
        if (got > 0) have += static_cast<size_t>(got);
      }
      next_ = 0;
    }
    return pool_[next_++];
  }

 private:
  uint64_t pool_[512] = {};
  size_t next_ = std::size(pool_);
};

}  // namespace huntd::server
