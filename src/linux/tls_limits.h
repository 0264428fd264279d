// SPDX-License-Identifier: Apache-2.0
// Bounds of a connect by TLS; further ones are in base/limits.h.
#pragma once
#include <cstdint>

namespace huntd::limits {

// A connect waits this long for the files of redis.tls_…. The read goes on: its result serves the next
// one.
inline constexpr uint64_t tls_files_wait_ns = 5'000'000'000;
// From the TCP connection until the server has proved who it is.
inline constexpr uint64_t tls_handshake_ns = 5'000'000'000;

}  // namespace huntd::limits
