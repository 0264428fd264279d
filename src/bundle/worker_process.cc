// SPDX-License-Identifier: Apache-2.0
#include "bundle/worker_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/limits.h"
#include "wire/worker_frame.h"

namespace huntd {
namespace {

// Above the descriptors at which a worker finds its socket and its bundle.
constexpr int descriptor_min = 16;

// Starts a worker with these two descriptors. Returns 0 or an errno. REQUIRES: both are at least
// descriptor_min.
int spawn(const std::string& path, std::string argument, int socket, int bundle, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, socket, WF_SOCKET_DESCRIPTOR);
  posix_spawn_file_actions_adddup2(&actions, bundle, WF_BUNDLE_DESCRIPTOR);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  char name[] = "hunt_worker";
  char* const argv[] = {name, argument.data(), nullptr};
  char* const environment[] = {nullptr};
  int const error = posix_spawn(&pid, path.c_str(), &actions, &attributes, argv, environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error;
}

bool send_frame(int socket, std::string_view frame) {
  return ::send(socket, frame.data(), frame.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(frame.size());
}

}  // namespace

WorkerProcess::WorkerProcess(UniqueFd socket, pid_t pid)
    : socket_(std::move(socket)), pid_(pid), frame_(limits::worker_frame_bytes_max) {}

WorkerProcess::WorkerProcess(WorkerProcess&& other) noexcept
    : socket_(std::move(other.socket_)),
      pid_(std::exchange(other.pid_, -1)),
      wait_status_(other.wait_status_),
      frame_(std::move(other.frame_)) {}

WorkerProcess& WorkerProcess::operator=(WorkerProcess&& other) noexcept {
  if (this == &other) return *this;
  end();
  socket_ = std::move(other.socket_);
  pid_ = std::exchange(other.pid_, -1);
  wait_status_ = other.wait_status_;
  frame_ = std::move(other.frame_);
  return *this;
}

WorkerProcess::~WorkerProcess() { end(); }

Result<WorkerProcess> WorkerProcess::start(const std::string& path, const std::string& argument,
                                           int bundle_descriptor, std::string_view job) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return Error{fmt::format("socketpair: {}", std::strerror(errno))};
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  theirs.reset(fcntl(theirs.get(), F_DUPFD_CLOEXEC, descriptor_min));
  UniqueFd const bundle(fcntl(bundle_descriptor, F_DUPFD_CLOEXEC, descriptor_min));
  if (!theirs.valid() || !bundle.valid())
    return Error{fmt::format("fcntl: {}", std::strerror(errno))};
  // The job may be sent before the worker exists: it waits in the socket.
  if (!send_frame(ours.get(), job))
    return Error{fmt::format("cannot send the job: {}", std::strerror(errno))};
  pid_t pid = -1;
  if (int const error = spawn(path, argument, theirs.get(), bundle.get(), pid); error != 0)
    return Error{
        fmt::format("{}: cannot be started: {}; set worker.binary", path, std::strerror(error))};
  // The worker now has the only descriptor of its end, so its exit ends the stream.
  return WorkerProcess(std::move(ours), pid);
}

std::optional<std::string_view> WorkerProcess::next_frame(int64_t deadline_at_ms) {
  for (;;) {
    int64_t const left_ms = std::max<int64_t>(deadline_at_ms - monotonic_ms(), 0);
    pollfd wait{socket_.get(), POLLIN, 0};
    int const ready = poll(&wait, 1, static_cast<int>(left_ms));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    ssize_t const got = recv(socket_.get(), frame_.data(), frame_.size(), MSG_DONTWAIT);
    return std::string_view(frame_.data(), got < 0 ? 0 : static_cast<size_t>(got));
  }
}

std::optional<std::string_view> WorkerProcess::received_frame() {
  ssize_t const got = recv(socket_.get(), frame_.data(), frame_.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  return std::string_view(frame_.data(), got < 0 ? 0 : static_cast<size_t>(got));
}

uint64_t WorkerProcess::cpu_ns() const {
  clockid_t clock;
  timespec used{};
  if (pid_ < 0 || clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &used) != 0)
    return 0;
  return static_cast<uint64_t>(used.tv_sec) * ns_per_s + static_cast<uint64_t>(used.tv_nsec);
}

bool WorkerProcess::send(std::string_view frame) { return send_frame(socket_.get(), frame); }

int WorkerProcess::end() {
  if (pid_ < 0) return wait_status_;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &wait_status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return wait_status_;
}

}  // namespace huntd
