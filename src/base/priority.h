// SPDX-License-Identifier: Apache-2.0
// Scheduling priority (nice values).
#pragma once
#include <cstdint>

#include "base/result.h"

namespace huntd {

// Sets the nice value of the calling thread to -`steps` (0 to 20). Threads and child processes that
// start later inherit it (setpriority(2); on Linux the value is per thread). To raise the priority,
// the process needs CAP_SYS_NICE or an RLIMIT_NICE of 20 + steps; otherwise nothing changes and an
// error is returned.
Result<void> set_priority(uint32_t steps);

// True if the kernel first divides each CPU among sessions (autogroup, sched(7)). Nice values then
// count only within a session, and each systemd service is a session of its own.
bool sessions_share_cpus();

}  // namespace huntd
