// SPDX-License-Identifier: Apache-2.0
#include "base/priority.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace huntd {

Result<void> set_priority(uint32_t steps) {
  if (setpriority(PRIO_PROCESS, 0, -static_cast<int>(steps)) == 0) return {};
  return Error{"nice -" + std::to_string(steps) + ": " + std::strerror(errno) +
               "; give the service LimitNICE=-" + std::to_string(steps)};
}

bool sessions_share_cpus() {
  int const file = open("/proc/sys/kernel/sched_autogroup_enabled", O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;  // a kernel without it
  char first = '0';
  bool const is_on = read(file, &first, 1) == 1 && first == '1';
  close(file);
  return is_on;
}

}  // namespace huntd
