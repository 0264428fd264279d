// How far above the usual priority a thread runs, and whether that counts.
#pragma once
#include <cstdint>

#include "base/result.h"

namespace huntd {

// Gives the calling thread the nice value -`steps` (0 to 20); threads and children begun from then
// on inherit it (setpriority(2): on Linux it is a thread's). Going up wants CAP_SYS_NICE or a limit
// RLIMIT_NICE of 20 + steps; without it nothing changes and the error says so.
Result<void> set_priority(uint32_t steps);

// True where the kernel shares each CPU among sessions first (autogroup, sched(7)): then nice
// values count only within a session, and every service of systemd is one.
bool sessions_share_cpus();

}  // namespace huntd
