#include "bundle/worker_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace huntd {

Result<WorkerProgram> WorkerProgram::open(const std::string& path) {
  int descriptor = -1;
  if (access(path.c_str(), X_OK) == 0) descriptor = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  // Out of the way of the numbers that a worker finds its own descriptors at.
  if (descriptor >= 0) {
    int const low = std::exchange(descriptor, fcntl(descriptor, F_DUPFD_CLOEXEC, 16));
    close(low);
  }
  if (descriptor < 0)
    return Error{fmt::format("worker.binary: {} is no program ({}); set it to hunt_worker's path",
                             path, std::strerror(errno))};
  return WorkerProgram(descriptor);
}

WorkerProgram::WorkerProgram(WorkerProgram&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

WorkerProgram::~WorkerProgram() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::string WorkerProgram::exec_path() const {
  return fmt::format("/proc/self/fd/{}", descriptor_);
}

}  // namespace huntd
