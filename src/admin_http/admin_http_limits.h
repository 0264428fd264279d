// SPDX-License-Identifier: Apache-2.0
// The bounds of an admin port. Together they bound what clients can take from the program: at most
// admin_connections_max heads, and admin_output_bytes_max of responses.
#pragma once
#include <cstddef>
#include <cstdint>

namespace huntd::limits {

// At the same time. Above it the connection that has waited longest is closed for a new one.
inline constexpr size_t admin_connections_max = 256;
inline constexpr int admin_backlog = 1024;             // connections that wait to be accepted
inline constexpr size_t admin_accepts_max = 128;       // between two looks at the other connections
inline constexpr uint64_t admin_idle_max_ms = 2000;    // without a byte of a request
inline constexpr uint64_t admin_head_max_ms = 2000;    // from its first byte to the end of its head
inline constexpr uint64_t admin_send_max_ms = 30'000;  // until the client has read a response
// A connection that the server ends is still read, up to these bounds, so that its client gets the
// response and not a reset.
inline constexpr uint64_t admin_linger_max_ms = 500;
inline constexpr size_t admin_linger_bytes_max = 256 * 1024;
// All responses that clients have not read. Above it the one that was sent first is dropped.
inline constexpr size_t admin_output_bytes_max = 16 * 1024 * 1024;
inline constexpr uint64_t admin_accept_pause_ms = 100;  // if there is no descriptor left

}  // namespace huntd::limits
