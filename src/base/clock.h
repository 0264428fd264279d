// The clocks that every program of huntd tells time by.
#pragma once
#include <time.h>

#include <cstdint>

namespace huntd {

// CLOCK_MONOTONIC, which all processes of a box share.
inline uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

inline int64_t monotonic_ms() { return static_cast<int64_t>(monotonic_ns() / 1'000'000); }

// Since the epoch.
inline int64_t wall_ms() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace huntd
