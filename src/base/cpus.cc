// SPDX-License-Identifier: Apache-2.0
#include "base/cpus.h"

#include <sched.h>

#include <array>
#include <cerrno>

#include "base/limits.h"

namespace huntd {
namespace {

// The kernel takes a set of any size, in whole words.
using CpuSet = std::array<cpu_set_t, limits::cpus_max / CPU_SETSIZE>;
static_assert(limits::cpus_max % CPU_SETSIZE == 0);

}  // namespace

std::vector<int> allowed_cpus() {
  CpuSet set{};
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, set.data()) != 0) return cpus;
  for (size_t cpu = 0; cpu < limits::cpus_max; ++cpu)
    if (CPU_ISSET_S(cpu, sizeof set, set.data())) cpus.push_back(static_cast<int>(cpu));
  return cpus;
}

int pin_to_cpu(int cpu) {
  if (cpu < 0 || static_cast<size_t>(cpu) >= limits::cpus_max) return EINVAL;
  CpuSet set{};
  CPU_SET_S(static_cast<size_t>(cpu), sizeof set, set.data());
  return sched_setaffinity(0, sizeof set, set.data()) == 0 ? 0 : errno;
}

}  // namespace huntd
