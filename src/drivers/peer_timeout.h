// SPDX-License-Identifier: Apache-2.0
// How long the blocking clients of Redis, PostgreSQL and Kafka wait for one reply.
#pragma once
#include <atomic>
#include <cstdint>

#include "drivers/driver_limits.h"

namespace huntd {

// 0: each client's own limit. A program sets it before its first client connects (huntctl
// --timeout).
inline std::atomic<uint32_t> peer_timeout_override_ms{0};

inline void set_peer_timeout_ms(uint32_t timeout_ms) { peer_timeout_override_ms = timeout_ms; }

// `own_ms` is the client's own limit. A program may shorten or lengthen it.
inline uint32_t peer_timeout_ms(uint32_t own_ms = limits::peer_timeout_ms) {
  uint32_t const set_ms = peer_timeout_override_ms;
  return set_ms == 0 ? own_ms : set_ms;
}

// How long a statement may run in PostgreSQL; 0: until the server ends it.
inline uint32_t statement_timeout_ms() { return peer_timeout_override_ms; }

// How long a whole reply of Redis may take. peer_timeout_ms() is for each part of it that arrives,
// so a peer that sends a byte at a time never exceeds that one. 0: as long as parts arrive.
inline uint32_t whole_reply_timeout_ms() { return peer_timeout_override_ms; }

}  // namespace huntd
