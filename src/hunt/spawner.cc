#include "hunt/spawner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/scm_rights.h"
#include "protocol/spawner_message.h"
#include "protocol/worker_frame.h"

namespace huntd {
namespace {

// Runs an open program in a child that shares this one's memory until its exec, while this thread
// stands still (vfork(2)): so the child may only make system calls. 0, or the errno of what failed.
[[gnu::noinline]] int vfork_exec(int program, char* const argv[], int socket, int bundle,
                                 pid_t* pid) {
  char* const environment[] = {nullptr};
  volatile int error = 0;  // written by the child
  pid_t const child = vfork();
  if (child == 0) {
    // Descriptors 3 and 4 of this process are kept taken (see fork_spawner), so neither source is a
    // target.
    if (dup2(socket, WF_SOCKET_DESCRIPTOR) >= 0 && dup2(bundle, WF_BUNDLE_DESCRIPTOR) >= 0)
      execveat(program, "", argv, environment, AT_EMPTY_PATH);
    error = errno;
    _exit(127);
  }
  if (child < 0) return errno;
  if (error != 0) {
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return error;
  }
  *pid = child;
  return 0;
}

constexpr int kept_from = 10;  // the spawner's own descriptors

class SpawnerLoop {
 public:
  SpawnerLoop(int core_socket, int worker_descriptor)
      : core_socket_(core_socket),
        worker_descriptor_(worker_descriptor),
        packet_(SPAWNER_PACKET_BYTES_MAX) {}

  [[noreturn]] void run() {
    for (;;) {
      // Ended workers are collected with the next start, or within this time where none comes.
      pollfd wait{core_socket_, POLLIN, 0};
      int const ready = poll(&wait, 1, live_ > 0 ? collect_every_ms : -1);
      collect();
      if (ready > 0 && !serve_packet()) _exit(0);
    }
  }

 private:
  static constexpr int collect_every_ms = 100;

  // False once the core is gone.
  bool serve_packet() {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec iov{packet_.data(), packet_.size()};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    ssize_t const length = recvmsg(core_socket_, &header, MSG_CMSG_CLOEXEC);
    if (length < 0) return errno == EINTR;
    if (length == 0) return false;
    int descriptor = -1;
    if (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr && c->cmsg_type == SCM_RIGHTS)
      std::memcpy(&descriptor, CMSG_DATA(c), sizeof descriptor);
    const char* at = packet_.data();
    const char* const end = at + length;
    while (at < end) {
      spawner_request request;
      CHECK(static_cast<size_t>(end - at) >= sizeof request);
      std::memcpy(&request, at, sizeof request);
      at += sizeof request;
      CHECK(static_cast<size_t>(end - at) >= request.hunter_bytes + request.job_bytes);
      switch (request.kind) {
        case SPAWNER_USE_BUNDLE:
          CHECK(descriptor >= 0);
          if (bundle_ >= 0) close(bundle_);
          bundle_ = descriptor;
          break;
        case SPAWNER_START:
          start(request, std::string(at, request.hunter_bytes), at + request.hunter_bytes);
          break;
        case SPAWNER_ZYGOTE:
          start_zygote(request);
          break;
        case SPAWNER_KILL:
          // Only where it is still our child: a pid that was collected may be somebody else's now.
          if (int status; waitpid(request.pid, &status, WNOHANG) == 0) kill(request.pid, SIGKILL);
          break;
        default:
          tell_status(request);
          break;
      }
      at += request.hunter_bytes + request.job_bytes;
    }
    return true;
  }

  void start(const spawner_request& request, const std::string& hunter_id, const char* job) {
    spawner_report report{};
    report.kind = SPAWNER_STARTED;
    report.place = request.place;
    Birth birth;
    report.spawn_errno = open_pair(birth, job, request.job_bytes);
    if (report.spawn_errno == 0) {
      report.started_at_ns = monotonic_ns();
      report.spawn_errno = spawn(hunter_id, birth);
    }
    // Not collected yet, so the pid is still this worker's even where it has ended already.
    if (report.spawn_errno == 0) {
      birth.pidfd = static_cast<int>(syscall(SYS_pidfd_open, birth.pid, 0));
      if (birth.pidfd < 0) {
        report.spawn_errno = errno;
        kill(birth.pid, SIGKILL);
      }
    }
    report.pid = birth.pid;
    int const descriptors[2] = {birth.pair[0], birth.pidfd};
    tell(report, descriptors, report.spawn_errno == 0 ? 2 : 0);
    birth.close_all();
  }

  // The zygote is a worker that the core gives starts instead of a job.
  void start_zygote(const spawner_request& request) {
    spawner_report report{};
    report.kind = SPAWNER_ZYGOTE;
    report.place = request.place;
    Birth birth;
    report.spawn_errno = open_pair(birth, nullptr, 0);
    // A packet may be as large as a tick's batch.
    int const bytes = 4 * SPAWNER_PACKET_BYTES_MAX;
    for (int end : birth.pair) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if (report.spawn_errno == 0) report.spawn_errno = spawn(WF_ARGUMENT_ZYGOTE, birth);
    report.pid = birth.pid;
    tell(report, birth.pair, report.spawn_errno == 0 ? 1 : 0);
    birth.close_all();
  }

  struct Birth {
    int pair[2] = {-1, -1};  // the core's end, the worker's end
    int pidfd = -1;
    pid_t pid = -1;
    void close_all() {
      for (int descriptor : {pair[0], pair[1], pidfd})
        if (descriptor >= 0) close(descriptor);
    }
  };

  // 0, or the errno of the step that failed. The job waits in the socket before the worker exists,
  // so the worker never waits for it.
  static int open_pair(Birth& birth, const char* job, size_t job_bytes) {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, birth.pair) != 0) return errno;
    if (job_bytes > 0 && ::send(birth.pair[0], job, job_bytes, MSG_NOSIGNAL | MSG_DONTWAIT) !=
                             static_cast<ssize_t>(job_bytes))
      return errno;
    return 0;
  }

  // What posix_spawn does, without what a worker has no use for: glibc's maps a stack for the child
  // and asks for each of the 64 signals (docs/decisions: births by vfork). Signals that this
  // process ignores stay ignored in the worker, which is only ever told to go by SIGKILL.
  int spawn(const std::string& argument, Birth& birth) {
    CHECK(bundle_ >= 0);
    char name[] = "hunt_worker";
    std::string word = argument;
    char* const argv[] = {name, word.data(), nullptr};
    int const error = vfork_exec(worker_descriptor_, argv, birth.pair[1], bundle_, &birth.pid);
    if (error == 0) ++live_;
    return error;
  }

  // Collects the ended workers, and keeps how the last of them ended for a core that asks.
  void collect() {
    for (;;) {
      int status = 0;
      pid_t const pid = waitpid(-1, &status, WNOHANG);
      if (pid <= 0) break;
      --live_;
      if (status == 0) continue;  // the usual end; nobody asks
      if (statuses_.size() >= statuses_max) statuses_.clear();
      statuses_[pid] = status;
    }
  }

  void tell_status(const spawner_request& request) {
    collect();
    spawner_report report{};
    report.kind = SPAWNER_ENDED;
    report.place = request.place;
    report.pid = request.pid;
    if (auto found = statuses_.find(request.pid); found != statuses_.end()) {
      report.wait_status = found->second;
      statuses_.erase(found);
    }
    tell(report, nullptr, 0);
  }

  void tell(const spawner_report& report, const int* descriptors, size_t count) {
    DescriptorRoom<2> room;
    iovec iov{const_cast<spawner_report*>(&report), sizeof report};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    if (count > 0) attach_descriptors(header, room, descriptors, count);
    while (sendmsg(core_socket_, &header, MSG_NOSIGNAL) < 0)
      if (errno != EINTR) _exit(0);  // the core is gone
  }

  static constexpr size_t statuses_max = 1024;
  int core_socket_;
  int worker_descriptor_;
  int bundle_ = -1;
  int live_ = 0;
  std::vector<char> packet_;
  std::unordered_map<pid_t, int> statuses_;
};

}  // namespace

Result<Spawner> fork_spawner(int worker_descriptor) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return Error{std::string("socketpair for the spawner: ") + std::strerror(errno)};
  // A packet may be as large as a tick's batch.
  int const bytes = 4 * SPAWNER_PACKET_BYTES_MAX;
  for (int end : pair) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  pid_t const core_pid = getpid();
  pid_t const pid = fork();
  if (pid < 0) return Error{std::string("fork of the spawner: ") + std::strerror(errno)};
  if (pid > 0) {
    close(pair[1]);
    return Spawner{pid, pair[0]};
  }
  prctl(PR_SET_NAME, "huntd-spawner");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != core_pid) _exit(0);
  // However far up the workers run, none of them may go further.
  rlimit const no_further{0, 0};
  CHECK(setrlimit(RLIMIT_NICE, &no_further) == 0);
  // Signals are the core's business: the spawner ends when the core's end of the pair closes.
  for (int ignored : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) signal(ignored, SIG_IGN);
  // Nothing of the core's may reach a worker, and 3 and 4 must be no descriptor that a spawn
  // duplicates from.
  int const socket = fcntl(pair[1], F_DUPFD_CLOEXEC, kept_from);
  int const worker = fcntl(worker_descriptor, F_DUPFD_CLOEXEC, kept_from);
  CHECK(socket >= 0 && worker > socket);
  close_range(3, static_cast<unsigned>(socket) - 1, 0);
  close_range(static_cast<unsigned>(socket) + 1, static_cast<unsigned>(worker) - 1, 0);
  close_range(static_cast<unsigned>(worker) + 1, ~0U, 0);
  int const null = open("/dev/null", O_RDWR | O_CLOEXEC);
  while (null >= 0) {
    int const taken = dup(null);
    if (taken < 0) break;
    fcntl(taken, F_SETFD, FD_CLOEXEC);
    if (taken >= WF_BUNDLE_DESCRIPTOR) break;
  }
  SpawnerLoop(socket, worker).run();
}

}  // namespace huntd
