// SPDX-License-Identifier: Apache-2.0
// The value of Gauge::worker_start_failure, and its text.
#pragma once
#include <sys/wait.h>

#include <cstdint>
#include <cstring>
#include <string>

namespace huntd {

// Above every errno.
inline constexpr uint64_t start_failure_silent = 65'535;  // the starter does not answer
inline constexpr uint64_t start_failure_exit = 65'536;

// `spawn_errno`; if it is 0, how a worker ended that never had a job (waitpid(2)).
constexpr uint64_t start_failure_code(int spawn_errno, int wait_status) {
  if (spawn_errno != 0) return static_cast<uint64_t>(spawn_errno);
  return start_failure_exit + static_cast<uint64_t>(wait_status & 0xffff);
}

inline std::string start_failure_text(uint64_t code) {
  if (code == start_failure_silent)
    return "the process that starts them (huntd-spawner or hunt-zygote) does not answer: it is "
           "stopped, or hangs";
  if (code < start_failure_exit) return std::strerror(static_cast<int>(code));
  int const status = static_cast<int>(code - start_failure_exit);
  if (WIFSIGNALED(status))
    return "a worker was killed before it had a job, by signal " + std::to_string(WTERMSIG(status));
  return "a worker exited before it had a job, with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace huntd
