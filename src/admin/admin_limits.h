// The bounds of the admin port.
#pragma once
#include <cstddef>
#include <cstdint>

namespace huntd::limits {

inline constexpr uint64_t heartbeat_age_max_ms = 1000;  // an older heartbeat: the core's loop hangs
inline constexpr size_t admin_connections_max = 256;    // served at a time; more wait
inline constexpr uint64_t admin_idle_max_ms = 2000;     // a client that neither sends nor reads
inline constexpr size_t admin_body_bytes_max = 1024;    // no admin route reads a body
inline constexpr int admin_backlog = 128;               // connections that wait to be accepted

}  // namespace huntd::limits
