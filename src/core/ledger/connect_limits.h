// SPDX-License-Identifier: Apache-2.0
// Bounds of a connect to Redis; further ones are in base/limits.h.
#pragma once
#include <cstddef>
#include <cstdint>

namespace huntd::limits {

// A connect waits this long for a password file. The read goes on: its result serves the next one.
inline constexpr uint64_t secret_wait_ns = 5'000'000'000;
// One address of a sentinel may take this long, from the connect to the reply.
inline constexpr uint64_t sentinel_wait_ns = 1'000'000'000;
// A question may take this long, for all sentinels together.
inline constexpr uint64_t sentinels_wait_ns = 3'000'000'000;
inline constexpr size_t sentinel_reply_bytes_max = 64 * 1024;
// Connects to sentinels that hang at the same time. The kernel ends each within 5 s; by TLS it takes up
// to 15 s: the files, the connect and the handshake have 5 s each.
inline constexpr size_t sentinel_calls_max = 16;

}  // namespace huntd::limits
