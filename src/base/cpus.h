// SPDX-License-Identifier: Apache-2.0
// The CPUs of this process (sched_setaffinity(2)), also on hosts with more than CPU_SETSIZE (1,024).
#pragma once
#include <vector>

namespace huntd {

// The CPUs that this process may run on, in ascending order. Empty if the kernel does not say, which
// it does if it knows more than limits::cpus_max.
std::vector<int> allowed_cpus();

// Binds the calling thread to `cpu`. Returns 0 or an errno; EINVAL also for a number that is negative
// or not less than limits::cpus_max.
int pin_to_cpu(int cpu);

}  // namespace huntd
