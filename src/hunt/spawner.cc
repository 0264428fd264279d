#include "hunt/spawner.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
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
#include "jail/syscall_filter.h"
#include "protocol/spawner_message.h"
#include "protocol/worker_frame.h"

namespace huntd {
namespace {

// What only a spawner and its zygotes do passes the filter of system calls by this key (see
// jail/syscall_filter.h); as syscall(2).
class Gate {
 public:
  explicit Gate(uint64_t key) : key_(key) {}
  uint64_t key() const { return key_; }

  template <class... Arguments>
  long pass(long number, Arguments... arguments) const {
    static_assert(sizeof...(arguments) <= 5);
    return pass_words(number, {word(arguments)...});
  }

 private:
  struct Words {
    long at[5];
  };
  static long word(long value) { return value; }
  static long word(const volatile void* value) { return reinterpret_cast<long>(value); }
  long pass_words(long number, Words words) const {
    return syscall(number, words.at[0], words.at[1], words.at[2], words.at[3], words.at[4], key_);
  }

  uint64_t key_;
};

// clone(2) as vfork(2) calls it, with a pidfd, through the gate. The child uses the caller's stack
// and comes back first, so where to go on is kept in a register meanwhile.
extern "C" [[gnu::returns_twice]] long huntd_vfork(int* pidfd, uint64_t key);
static_assert((CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD) == 0x5111);
#if defined(__x86_64__)
__asm__(R"(
  .text
  .type huntd_vfork, @function
huntd_vfork:
  mov %rsi, %r9
  mov %rdi, %rdx
  pop %r10
  mov $0x5111, %edi
  xor %esi, %esi
  xor %r8d, %r8d
  mov $56, %eax
  syscall
  push %r10
  ret
  .size huntd_vfork, . - huntd_vfork
)");
#elif defined(__aarch64__)
__asm__(R"(
  .text
  .type huntd_vfork, @function
huntd_vfork:
  mov x5, x1
  mov x2, x0
  mov x0, #0x5111
  mov x1, xzr
  mov x3, xzr
  mov x4, xzr
  mov x8, #220
  svc #0
  ret
  .size huntd_vfork, . - huntd_vfork
)");
#endif

// Runs an open program in a child that shares this one's memory until its exec, while this thread
// stands still (vfork(2)): so the child may only make system calls. 0, or the errno of what failed.
[[gnu::noinline]] int vfork_exec(const Gate& gate, int program, char* const argv[], int socket,
                                 int bundle, pid_t* pid, int* pidfd) {
  char* const environment[] = {nullptr};
  volatile int error = 0;  // written by the child
  long const child = huntd_vfork(pidfd, gate.key());
  if (child == 0) {
    // Descriptors 3 and 4 of this process are kept taken (see fork_spawner), so neither source is a
    // target.
    if (gate.pass(SYS_dup3, socket, WF_SOCKET_DESCRIPTOR, 0) >= 0 &&
        gate.pass(SYS_dup3, bundle, WF_BUNDLE_DESCRIPTOR, 0) >= 0)
      gate.pass(SYS_execveat, program, "", argv, environment, AT_EMPTY_PATH);
    error = errno;
    _exit(127);
  }
  if (child < 0) return static_cast<int>(-child);
  if (error != 0) {
    while (gate.pass(SYS_wait4, child, nullptr, 0, nullptr) < 0 && errno == EINTR) {
    }
    return error;
  }
  *pid = static_cast<pid_t>(child);
  return 0;
}

constexpr int kept_from = 10;  // the spawner's own descriptors

class SpawnerLoop {
 public:
  SpawnerLoop(Gate gate, int core_socket, int worker_descriptor)
      : gate_(gate),
        core_socket_(core_socket),
        worker_descriptor_(worker_descriptor),
        packet_(SPAWNER_PACKET_BYTES_MAX) {}

  [[noreturn]] void run() {
    for (;;) {
      // Ended workers are collected with the next start, or within this time where none comes.
      pollfd wait{core_socket_, POLLIN, 0};
      timespec pause{0, collect_every_ms * 1'000'000L};
      long const ready = gate_.pass(SYS_ppoll, &wait, 1, live_ > 0 ? &pause : nullptr, nullptr, 0);
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
    ssize_t const length = gate_.pass(SYS_recvmsg, core_socket_, &header, MSG_CMSG_CLOEXEC);
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
          let_go(bundle_);
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
          if (int status; wait_for(request.pid, &status) == 0)
            gate_.pass(SYS_kill, request.pid, SIGKILL);
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
    report.pid = birth.pid;
    int const descriptors[2] = {birth.pair[0], birth.pidfd};
    tell(report, descriptors, report.spawn_errno == 0 ? 2 : 0);
    close_all(birth);
  }

  // The zygote is a worker that the core gives starts instead of a job.
  void start_zygote(const spawner_request& request) {
    spawner_report report{};
    report.kind = SPAWNER_ZYGOTE;
    report.place = request.place;
    Birth birth;
    uint64_t const key = gate_.key();
    report.spawn_errno = open_pair(birth, reinterpret_cast<const char*>(&key), sizeof key);
    // A packet may be as large as a tick's batch.
    int const bytes = 4 * SPAWNER_PACKET_BYTES_MAX;
    for (int end : birth.pair)
      gate_.pass(SYS_setsockopt, end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if (report.spawn_errno == 0) report.spawn_errno = spawn(WF_ARGUMENT_ZYGOTE, birth);
    report.pid = birth.pid;
    tell(report, birth.pair, report.spawn_errno == 0 ? 1 : 0);
    close_all(birth);
  }

  struct Birth {
    int pair[2] = {-1, -1};  // the core's end, the worker's end
    int pidfd = -1;
    pid_t pid = -1;
  };
  void let_go(int descriptor) const {
    if (descriptor >= 0) gate_.pass(SYS_close, descriptor);
  }
  void close_all(const Birth& birth) const {
    for (int descriptor : {birth.pair[0], birth.pair[1], birth.pidfd}) let_go(descriptor);
  }

  // 0, or the errno of the step that failed. The job waits in the socket before the worker exists,
  // so the worker never waits for it.
  int open_pair(Birth& birth, const char* job, size_t job_bytes) const {
    if (gate_.pass(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, birth.pair) != 0)
      return errno;
    iovec iov{const_cast<char*>(job), job_bytes};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    if (job_bytes > 0 && gate_.pass(SYS_sendmsg, birth.pair[0], &header,
                                    MSG_NOSIGNAL | MSG_DONTWAIT) != static_cast<long>(job_bytes))
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
    int const error = vfork_exec(gate_, worker_descriptor_, argv, birth.pair[1], bundle_,
                                 &birth.pid, &birth.pidfd);
    if (error == 0) ++live_;
    return error;
  }

  pid_t wait_for(pid_t pid, int* status) const {
    return static_cast<pid_t>(gate_.pass(SYS_wait4, pid, status, WNOHANG, nullptr));
  }

  // Collects the ended workers, and keeps how the last of them ended for a core that asks.
  void collect() {
    for (;;) {
      int status = 0;
      pid_t const pid = wait_for(-1, &status);
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
    while (gate_.pass(SYS_sendmsg, core_socket_, &header, MSG_NOSIGNAL) < 0)
      if (errno != EINTR) _exit(0);  // the core is gone
  }

  static constexpr size_t statuses_max = 1024;
  Gate gate_;
  int core_socket_;
  int worker_descriptor_;
  int bundle_ = -1;
  int live_ = 0;
  std::vector<char> packet_;
  std::unordered_map<pid_t, int> statuses_;
};

// Puts this process, and so all that it starts, into the jail that workers live in; the key to what
// a spawner does more is in its memory alone.
Gate enter_jail() {
  uint64_t key = 0;
  int error = 0;
  while (key == 0 && error == 0)
    if (getrandom(&key, sizeof key, 0) != sizeof key) error = errno;
  if (error == 0) error = drop_capabilities_at_exec();
  if (error == 0) error = install_syscall_filter(key);
  if (error == 0) return Gate(key);
  log::error("no worker can be jailed, so none is started: this kernel must have seccomp filters",
             {{"error", std::strerror(error)}});
  _exit(1);
}

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
  // A worker could write to the log by them.
  for (int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    fcntl(standard, F_SETFD, FD_CLOEXEC);
  SpawnerLoop(enter_jail(), socket, worker).run();
}

}  // namespace huntd
