// SPDX-License-Identifier: Apache-2.0
#include "base/priority.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace huntd {
namespace {

// The first version of the kernel's sched_attr; glibc 2.36 does not declare it.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0x08;  // SCHED_FLAG_KEEP_POLICY
  int32_t nice = 0;
  uint32_t real_time_priority = 0;
  uint64_t runtime_ns = 0;
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

}  // namespace

Result<void> set_priority(uint32_t steps) {
  if (setpriority(PRIO_PROCESS, 0, -static_cast<int>(steps)) == 0) return {};
  std::string const nice = std::to_string(-static_cast<int64_t>(steps));
  return Error{"nice " + nice + ": " + std::strerror(errno) +
               "; give the service LimitNICE=" + nice};
}

Result<void> set_time_slice(uint64_t slice_ns) {
  SchedulingAttributes attributes;
  errno = 0;  // -1 is a nice value too
  attributes.nice = getpriority(PRIO_PROCESS, 0);
  attributes.runtime_ns = slice_ns;
  if (errno == 0 && syscall(SYS_sched_setattr, 0, &attributes, 0) == 0) return {};
  return Error{std::string("sched_setattr: ") + std::strerror(errno)};
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
