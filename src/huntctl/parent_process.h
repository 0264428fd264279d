// SPDX-License-Identifier: Apache-2.0
// The parent process of a huntd, found by the /status.json of its admin port, for signals.
#pragma once
#include <cstdint>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace huntd::huntctl {

class ParentProcess {
 public:
  // `pid` and `start_ticks` (0: unknown) as /status.json has them. The error says that this process
  // does not run here: the admin port can be that of another host or container, where the pid names
  // another process. It is of kind `usage`.
  static Result<ParentProcess> find(uint64_t pid, uint64_t start_ticks);

  uint64_t pid() const { return pid_; }
  // Sends the signal `number` to this process, and never to a later one with its pid. The error has
  // the kernel's reason.
  Result<void> signal(int number) const;

 private:
  ParentProcess(uint64_t pid, UniqueFd process) : pid_(pid), process_(std::move(process)) {}
  uint64_t pid_;
  UniqueFd process_;  // a pidfd
};

}  // namespace huntd::huntctl
