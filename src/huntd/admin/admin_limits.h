// SPDX-License-Identifier: Apache-2.0
// The bounds of the admin port.
#pragma once
#include <cstddef>
#include <cstdint>

namespace huntd::limits {

inline constexpr uint64_t heartbeat_age_max_ms = 1000;  // of a core that is not stalled
inline constexpr size_t admin_connections_max = 256;    // at the same time; more wait
inline constexpr uint64_t admin_idle_max_ms = 2000;     // of a client that neither sends nor reads
inline constexpr size_t admin_body_bytes_max = 1024;    // no admin path reads a body
inline constexpr int admin_backlog = 128;               // connections that wait to be accepted

}  // namespace huntd::limits
