// How far above the usual priority the calling thread runs.
#pragma once
#include <sys/resource.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/result.h"

namespace huntd {

// Gives the calling thread the nice value -`steps` (0 to 20); threads and children begun from then
// on inherit it (setpriority(2): on Linux it is a thread's). Going up wants CAP_SYS_NICE or a limit
// RLIMIT_NICE of 20 + steps; without it nothing changes and the error says so.
inline Result<void> set_priority(uint32_t steps) {
  if (setpriority(PRIO_PROCESS, 0, -static_cast<int>(steps)) == 0) return {};
  return Error{"nice -" + std::to_string(steps) + ": " + std::strerror(errno) +
               "; give the service LimitNICE=-" + std::to_string(steps)};
}

}  // namespace huntd
