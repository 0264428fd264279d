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

// Asks the kernel to let the calling thread run for `slice_ns` (100,000 to 100,000,000) at a time
// while others wait for the CPU: the shorter, the sooner it runs once it has work (sched_setattr(2);
// sched-eevdf in the kernel's documentation). Keeps the nice value. Kernels before 6.12 ignore it.
Result<void> set_time_slice(uint64_t slice_ns);

// True if the kernel first divides each CPU among sessions (autogroup, sched(7)). Nice values then
// count only within a session, and each systemd service is a session of its own.
bool sessions_share_cpus();

}  // namespace huntd
