// SPDX-License-Identifier: Apache-2.0
#include "bundle/check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/unique_fd.h"
#include "wire/worker_frame.h"

namespace huntd {
namespace {

// Above the descriptors at which a worker finds its socket and its bundle.
constexpr int descriptor_min = 16;
constexpr char hunter_id[] = "check";

// Returns the size of the next frame; 0 if the worker is gone, -1 if the deadline has passed.
ssize_t next_frame(int socket, std::vector<char>& frame, int64_t deadline_at_ms) {
  for (;;) {
    int64_t const left_ms = std::max<int64_t>(deadline_at_ms - monotonic_ms(), 0);
    pollfd wait{socket, POLLIN, 0};
    int const ready = poll(&wait, 1, static_cast<int>(left_ms));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return -1;
    ssize_t const got = recv(socket, frame.data(), frame.size(), MSG_DONTWAIT);
    return got < 0 ? 0 : got;
  }
}

// The job may be sent before the worker exists: it waits in the socket. Returns false with errno
// set on failure.
bool send_check_job(int socket, const BundledHunt& hunt, uint64_t memory_bytes,
                    std::vector<char>& frame) {
  wf_job job{};
  job.flags = WF_JOB_CHECK;
  job.memory_bytes = memory_bytes;
  job.script_offset = hunt.offset;
  job.script_bytes = hunt.bytes;
  job.hunt_id = {hunt.hunt_id.data(), static_cast<uint32_t>(hunt.hunt_id.size())};
  job.hunter_id = {hunter_id, sizeof hunter_id - 1};
  size_t const size = wf_write_job(frame.data(), frame.size(), &job);
  CHECK(size > 0);
  return send(socket, frame.data(), size, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

// Starts a worker with these two descriptors. Returns 0 or an errno. REQUIRES: both are at least
// descriptor_min.
int spawn_worker(const std::string& path, int socket, int bundle, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, socket, WF_SOCKET_DESCRIPTOR);
  posix_spawn_file_actions_adddup2(&actions, bundle, WF_BUNDLE_DESCRIPTOR);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  char name[] = "hunt_worker";
  std::string argument = hunter_id;
  char* const argv[] = {name, argument.data(), nullptr};
  char* const environment[] = {nullptr};
  int const error = posix_spawn(&pid, path.c_str(), &actions, &attributes, argv, environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error;
}

// The last frame of a check. The views point into the frame's buffer.
struct LastFrame {
  ssize_t size = 0;  // as of next_frame()
  int type = 0;
  wf_reader reader{};
};

// Appends the frames of the image to `image`, up to the first other frame.
LastFrame read_image(int socket, std::vector<char>& frame, uint32_t deadline_ms,
                     std::string& image) {
  int64_t const deadline_at_ms = monotonic_ms() + deadline_ms;
  LastFrame last;
  while ((last.size = next_frame(socket, frame, deadline_at_ms)) > 0) {
    last.type = wf_open(&last.reader, frame.data(), static_cast<size_t>(last.size));
    size_t const bytes = static_cast<size_t>(last.reader.end - last.reader.at);
    if (last.type != WF_IMAGE || image.size() + bytes > limits::image_bytes_max) break;
    image.append(reinterpret_cast<const char*>(last.reader.at), bytes);
  }
  return last;
}

// Returns "" if the script passed, else its error.
std::string result_of(LastFrame& last, const std::string& hunt_id, uint32_t deadline_ms,
                      int wait_status) {
  if (last.size < 0)
    return fmt::format("{}.lua: its top-level code exceeded the deadline of {} ms", hunt_id,
                       deadline_ms);
  wf_outcome outcome;
  if (last.size == 0 || last.type != WF_OUTCOME || wf_read_outcome(&last.reader, &outcome) == 0)
    return fmt::format("{}.lua: its worker exited without an outcome (wait status {:#x})", hunt_id,
                       wait_status);
  if (outcome.status == WF_OK) return "";
  std::string reason(outcome.reason.data, outcome.reason.size);
  if (outcome.status == WF_BAD_JOB)
    return fmt::format("{}.lua: its worker rejected the job: {}", hunt_id, reason);
  return reason;
}

// Returns "" if the script passed (`image` is then its image), else its error.
std::string check_one(const Bundle& bundle, const BundledHunt& hunt, const std::string& worker_path,
                      uint32_t deadline_ms, uint64_t memory_bytes, std::string& image) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return fmt::format("{}.lua: socketpair: {}", hunt.hunt_id, std::strerror(errno));
  UniqueFd const ours(pair[0]);
  UniqueFd theirs(pair[1]);
  theirs.reset(fcntl(theirs.get(), F_DUPFD_CLOEXEC, descriptor_min));
  UniqueFd const source(fcntl(bundle.descriptor(), F_DUPFD_CLOEXEC, descriptor_min));
  if (!theirs.valid() || !source.valid())
    return fmt::format("{}.lua: fcntl: {}", hunt.hunt_id, std::strerror(errno));

  std::vector<char> frame(limits::worker_frame_bytes_max);
  if (!send_check_job(ours.get(), hunt, memory_bytes, frame))
    return fmt::format("{}.lua: cannot send the job: {}", hunt.hunt_id, std::strerror(errno));
  pid_t pid = -1;
  int const error = spawn_worker(worker_path, theirs.get(), source.get(), pid);
  if (error != 0)
    return fmt::format("{}: cannot be started: {}; set worker.binary", worker_path,
                       std::strerror(error));
  theirs.reset();  // the worker now has the only descriptor of its end, so its exit ends the stream
  LastFrame last = read_image(ours.get(), frame, deadline_ms, image);
  kill(pid, SIGKILL);
  int wait_status = 0;
  while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
  }
  return result_of(last, hunt.hunt_id, deadline_ms, wait_status);
}

}  // namespace

Result<Bundle> check_bundle(const Bundle& bundle, const std::string& dir,
                            const std::string& worker_path, uint32_t deadline_ms,
                            uint64_t memory_bytes) {
  std::string problems;
  std::vector<std::string> images;
  for (const BundledHunt& hunt : bundle.hunts()) {
    std::string const problem =
        check_one(bundle, hunt, worker_path, deadline_ms, memory_bytes, images.emplace_back());
    if (problem.empty()) continue;
    if (!problems.empty()) problems.push_back('\n');
    // The worker knows only the name of the file.
    if (problem.starts_with(hunt.hunt_id + ".lua:")) problems += dir + "/";
    problems += problem;
  }
  if (!problems.empty()) return Error{problems};
  return add_images(bundle, images);
}

}  // namespace huntd
