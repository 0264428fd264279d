// SPDX-License-Identifier: Apache-2.0
#include "huntctl/parent_process.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "metrics/process_figures.h"

namespace huntd::huntctl {

Result<ParentProcess> ParentProcess::find(uint64_t pid, uint64_t start_ticks) {
  // While the descriptor is open, it names this process and no later one. So it is opened first.
  UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)));
  std::optional<uint64_t> const ticks = process_start_ticks(pid);
  if (!process.valid() || start_ticks == 0 || ticks != start_ticks)
    return Error{
        fmt::format(
            "the huntd of the admin port, process {}, does not run here: run the command on its host, "
            "and in its container",
            pid),
        ErrorKind::usage};
  return ParentProcess(pid, std::move(process));
}

Result<void> ParentProcess::signal(int number) const {
  if (syscall(SYS_pidfd_send_signal, process_.get(), number, nullptr, 0) == 0) return {};
  int const error = errno;
  return Error{fmt::format("SIG{} cannot be sent to huntd, process {}: {}{}", sigabbrev_np(number),
                           pid_, std::strerror(error),
                           error == EPERM ? "; run the command as root or as huntd's user" : "")};
}

}  // namespace huntd::huntctl
