// SPDX-License-Identifier: Apache-2.0
// Clocks, shared by all programs.
#pragma once
#include <time.h>

#include <cstdint>

namespace huntd {

inline constexpr uint64_t ns_per_us = 1'000;
inline constexpr uint64_t ns_per_ms = 1'000'000;
inline constexpr uint64_t ns_per_s = 1'000'000'000;

// CLOCK_MONOTONIC; all processes of a host share it.
inline uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

inline int64_t monotonic_ms() { return static_cast<int64_t>(monotonic_ns() / 1'000'000); }

// CLOCK_REALTIME, since the Unix epoch.
inline int64_t wall_ms() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace huntd
