// SPDX-License-Identifier: Apache-2.0
#include "bundle/worker_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "wire/worker_frame.h"

namespace huntd {

namespace {
constexpr int descriptor_min = 16;  // above the descriptors at which a worker finds its own
}  // namespace

std::string find_worker(const std::string& configured) {
  if (!configured.empty()) return configured;
  char path[PATH_MAX];
  ssize_t const length = readlink("/proc/self/exe", path, sizeof path);
  std::string const self(path, length > 0 ? static_cast<size_t>(length) : 0);
  return self.substr(0, self.rfind('/') + 1) + "hunt_worker";
}

Result<WorkerProgram> WorkerProgram::open(const std::string& path) {
  UniqueFd program;
  if (access(path.c_str(), X_OK) == 0) program.reset(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (program.valid()) program.reset(fcntl(program.get(), F_DUPFD_CLOEXEC, descriptor_min));
  if (!program.valid())
    return Error{
        fmt::format("worker.binary: {} cannot be executed ({}); set it to the path of hunt_worker",
                    path, std::strerror(errno))};
  return WorkerProgram(std::move(program));
}

bool WorkerProgram::can_hold_tasks() const {
  char name[] = "hunt_worker";
  char argument[] = WF_ARGUMENT_TASKS;
  char* const argv[] = {name, argument, nullptr};
  char* const environment[] = {nullptr};
  pid_t pid = -1;
  if (posix_spawn(&pid, exec_path().c_str(), nullptr, nullptr, argv, environment) != 0)
    return false;
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status == 0;
}

std::string WorkerProgram::exec_path() const {
  return fmt::format("/proc/self/fd/{}", descriptor());
}

}  // namespace huntd
