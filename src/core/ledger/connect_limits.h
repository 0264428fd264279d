// SPDX-License-Identifier: Apache-2.0
// Bounds of a connect to Redis; further ones are in base/limits.h.
#pragma once
#include <cstdint>

namespace huntd::limits {

// A connect waits this long for a password file. The read goes on: its result serves the next one.
inline constexpr uint64_t secret_wait_ns = 5'000'000'000;

}  // namespace huntd::limits
