// SPDX-License-Identifier: Apache-2.0
// When huntd is healthy. The bounds of the port itself: admin_http/admin_http_limits.h.
#pragma once
#include <cstdint>

namespace huntd::limits {

inline constexpr uint64_t heartbeat_age_max_ms = 1000;  // of a core that is not stalled
// Of a core that only a restart of huntd helps; and of the parent, which compiles the scripts of a
// reload.
inline constexpr uint64_t live_core_age_max_ms = 10'000;
inline constexpr uint64_t live_parent_age_max_ms = 30'000;

}  // namespace huntd::limits
