#include "bundle/check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/limits.h"
#include "protocol/worker_frame.h"

namespace huntd {
namespace {

constexpr int away_from_targets = 16;

// A descriptor that closes itself.
struct Descriptor {
  int number = -1;
  explicit Descriptor(int n) : number(n) {}
  ~Descriptor() { reset(); }
  void reset() {
    if (number >= 0) close(number);
    number = -1;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

uint64_t monotonic_ms() { return monotonic_ns() / 1'000'000; }

// The next frame of a worker that has until `end_at_ms`: its size; 0 where the worker is gone, -1
// where the time is over.
ssize_t next_frame(int socket, std::vector<char>& frame, uint64_t end_at_ms) {
  for (;;) {
    uint64_t const now_ms = monotonic_ms();
    pollfd wait{socket, POLLIN, 0};
    int const ready = poll(&wait, 1, now_ms < end_at_ms ? static_cast<int>(end_at_ms - now_ms) : 0);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return -1;
    ssize_t const got = recv(socket, frame.data(), frame.size(), MSG_DONTWAIT);
    return got < 0 ? 0 : got;
  }
}

// Empty where the script is fine (`image` is then its image), else what is wrong with it.
std::string check_one(const Bundle& bundle, const BundledHunt& hunt, const std::string& worker_path,
                      uint32_t deadline_ms, uint64_t memory_bytes, std::string& image) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return fmt::format("{}.lua: socketpair: {}", hunt.hunt_id, std::strerror(errno));
  Descriptor const ours(pair[0]);
  // Out of the way of the numbers that the child gets them at.
  Descriptor theirs(fcntl(pair[1], F_DUPFD_CLOEXEC, away_from_targets));
  close(pair[1]);
  Descriptor const source(fcntl(bundle.descriptor(), F_DUPFD_CLOEXEC, away_from_targets));

  std::vector<char> frame(limits::worker_frame_bytes_max);
  std::string const hunter = "check";
  wf_job job{};
  job.flags = WF_JOB_CHECK;
  job.memory_bytes = memory_bytes;
  job.script_offset = hunt.offset;
  job.script_bytes = hunt.bytes;
  job.hunt_id = {hunt.hunt_id.data(), static_cast<uint32_t>(hunt.hunt_id.size())};
  job.hunter_id = {hunter.data(), static_cast<uint32_t>(hunter.size())};
  size_t const size = wf_write_job(frame.data(), frame.size(), &job);
  if (size == 0 ||
      send(ours.number, frame.data(), size, MSG_NOSIGNAL) != static_cast<ssize_t>(size))
    return fmt::format("{}.lua: the job can't be sent: {}", hunt.hunt_id, std::strerror(errno));

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.number, WF_SOCKET_DESCRIPTOR);
  posix_spawn_file_actions_adddup2(&actions, source.number, WF_BUNDLE_DESCRIPTOR);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  char name[] = "hunt_worker";
  std::string argument = hunter;
  char* const argv[] = {name, argument.data(), nullptr};
  char* const environment[] = {nullptr};
  pid_t pid = -1;
  int const error =
      posix_spawn(&pid, worker_path.c_str(), &actions, &attributes, argv, environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  theirs.reset();  // a worker that dies is then the end of the stream
  if (error != 0)
    return fmt::format("{}: can't be started: {}; set worker.binary", worker_path,
                       std::strerror(error));

  uint64_t const end_at_ms = monotonic_ms() + deadline_ms;
  wf_reader reader{};
  int type = 0;
  ssize_t got;
  while ((got = next_frame(ours.number, frame, end_at_ms)) > 0) {
    type = wf_open(&reader, frame.data(), static_cast<size_t>(got));
    size_t const piece_bytes = static_cast<size_t>(reader.end - reader.at);
    if (type != WF_IMAGE || image.size() + piece_bytes > limits::image_bytes_max) break;
    image.append(reinterpret_cast<const char*>(reader.at), piece_bytes);
  }
  kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (got < 0)
    return fmt::format("{}.lua: running its top level passed the deadline of {} ms", hunt.hunt_id,
                       deadline_ms);
  wf_outcome outcome;
  if (got == 0 || type != WF_OUTCOME || wf_read_outcome(&reader, &outcome) == 0)
    return fmt::format("{}.lua: its worker ended without an outcome (wait status {:#x})",
                       hunt.hunt_id, status);
  if (outcome.status == WF_OK) return "";
  std::string reason(outcome.reason.data, outcome.reason.size);
  if (outcome.status == WF_BAD_JOB)
    return fmt::format("{}.lua: its worker refused the job: {}", hunt.hunt_id, reason);
  return reason;
}

}  // namespace

Result<Bundle> check_bundle(const Bundle& bundle, const std::string& dir,
                            const std::string& worker_path, uint32_t deadline_ms,
                            uint64_t memory_bytes) {
  std::string problems;
  std::vector<std::string> images;
  for (const BundledHunt& hunt : bundle.hunts()) {
    std::string const wrong =
        check_one(bundle, hunt, worker_path, deadline_ms, memory_bytes, images.emplace_back());
    if (wrong.empty()) continue;
    if (!problems.empty()) problems.push_back('\n');
    // The worker knows the file's name, the operator its place.
    if (wrong.starts_with(hunt.hunt_id + ".lua:")) problems += dir + "/";
    problems += wrong;
  }
  if (!problems.empty()) return Error{problems};
  return add_images(bundle, images);
}

}  // namespace huntd
