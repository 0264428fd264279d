// SPDX-License-Identifier: Apache-2.0
#include "bundle/worker_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

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

std::string WorkerProgram::exec_path() const {
  return fmt::format("/proc/self/fd/{}", descriptor());
}

}  // namespace huntd
