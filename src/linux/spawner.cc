// SPDX-License-Identifier: Apache-2.0
#include "linux/spawner.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "wire/spawner_message.h"
#include "wire/worker_frame.h"
#include "worker/launcher.h"
#include "worker/syscall_filter.h"

namespace huntd::server {
namespace {

// Opens the gate of the filter (worker/syscall_filter.h). Only in the spawner's memory, which an
// exec replaces.
uint64_t gate_key = 0;

// A launcher_call.
long pass_gate(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e) {
  return syscall(number, a, b, c, d, e, gate_key);
}

// Converts what is passed through the gate.
uintptr_t word(long value) { return static_cast<uintptr_t>(value); }
uintptr_t word(const void* value) { return reinterpret_cast<uintptr_t>(value); }

// clone(2) as vfork(2) calls it, through the gate. The child uses the caller's stack and returns
// first, so the return address is kept in a register meanwhile. Returns the pid, 0 in the child, or
// a negative errno.
extern "C" [[gnu::returns_twice]] long huntd_vfork(uint64_t key);
static_assert((CLONE_VM | CLONE_VFORK | SIGCHLD) == 0x4111);
#if defined(__x86_64__)
__asm__(R"(
  .text
  .type huntd_vfork, @function
huntd_vfork:
  mov %rdi, %r9
  pop %r10
  mov $0x4111, %edi
  xor %esi, %esi
  xor %edx, %edx
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
  mov x5, x0
  mov x0, #0x4111
  mov x1, xzr
  mov x2, xzr
  mov x3, xzr
  mov x4, xzr
  mov x8, #220
  svc #0
  ret
  .size huntd_vfork, . - huntd_vfork
)");
#endif

// Executes an open program in a child, which shares the memory of this process until its exec while
// this thread is stopped (vfork(2)). So the child may only make system calls. Returns 0 or an
// errno.
[[gnu::noinline]] int vfork_exec(int program, const char* argument, int bundle, launch& launch) {
  char name[] = "hunt_worker";
  char* const argv[] = {name, const_cast<char*>(argument), nullptr};
  char* const environment[] = {nullptr};
  volatile int error = 0;  // written by the child
  long const child = huntd_vfork(gate_key);
  if (child == 0) {
    // The spawner keeps its own descriptors 3 and 4 taken (occupy_worker_descriptors()), so neither
    // source is a target.
    if (pass_gate(SYS_dup3, word(launch.pair[1]), WF_SOCKET_DESCRIPTOR, 0, 0, 0) >= 0 &&
        pass_gate(SYS_dup3, word(bundle), WF_BUNDLE_DESCRIPTOR, 0, 0, 0) >= 0)
      pass_gate(SYS_execveat, word(program), word(""), word(argv), word(environment),
                AT_EMPTY_PATH);
    error = errno;
    _exit(127);
  }
  if (child < 0) return static_cast<int>(-child);
  if (error != 0) {
    while (pass_gate(SYS_wait4, word(child), 0, 0, 0, 0) < 0 && errno == EINTR) {
    }
    return error;
  }
  launch.pid = static_cast<pid_t>(child);
  return 0;
}

int worker_program = -1;  // an open descriptor

// Sends the first packet before the worker exists, so that the worker never waits for it.
int send_first(const launch& launch, const void* bytes, size_t size) {
  iovec iov{const_cast<void*>(bytes), size};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  long const sent = pass_gate(SYS_sendmsg, word(launch.pair[0]), word(&header),
                              MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
  return sent == static_cast<long>(size) ? 0 : errno;
}

int start_worker(launcher& launcher, const spawner_request& request, const char* hunter_id,
                 const char* job, launch& launch) {
  char argument[WF_ID_BYTES_MAX + 1];
  CHECK(launcher.bundle >= 0 && request.hunter_bytes < sizeof argument);
  std::memcpy(argument, hunter_id, request.hunter_bytes);
  argument[request.hunter_bytes] = '\0';
  if (request.job_bytes > 0)
    if (int const error = send_first(launch, job, request.job_bytes); error != 0) return error;
  launch.started_at_ns = monotonic_ns();
  return vfork_exec(worker_program, argument, launcher.bundle, launch);
}

// A zygote is a worker that receives start requests instead of jobs; the first packet is the key.
int start_zygote(launcher& launcher, launch& launch) {
  CHECK(launcher.bundle >= 0);
  // A packet can have all starts of a tick.
  int const bytes = 4 * SPAWNER_PACKET_BYTES_MAX;
  for (int end : launch.pair)
    pass_gate(SYS_setsockopt, word(end), SOL_SOCKET, SO_SNDBUF, word(&bytes), sizeof bytes);
  if (int const error = send_first(launch, &gate_key, sizeof gate_key); error != 0) return error;
  launch.started_at_ns = monotonic_ns();
  return vfork_exec(worker_program, WF_ARGUMENT_ZYGOTE, launcher.bundle, launch);
}

// A holder is a worker whose first packet has the keys; its jobs come later.
int start_holder(launcher& launcher, const spawner_request& request, const char* body,
                 launch& launch) {
  CHECK(launcher.bundle >= 0 && request.job_bytes == sizeof(holder_start));
  holder_start first;
  std::memcpy(&first, body, sizeof first);
  first.gate_key = gate_key;
  if (int const error = send_first(launch, &first, sizeof first); error != 0) return error;
  launch.started_at_ns = monotonic_ns();
  return vfork_exec(worker_program, WF_ARGUMENT_HOLDER, launcher.bundle, launch);
}

// Like posix_spawn(3), without what a worker does not need: glibc maps a stack for the child and
// asks for each of the 64 signals (decision 8). Signals that the spawner ignores stay ignored in
// the worker, which is only ever ended by SIGKILL.
int start(launcher* launcher, const spawner_request* request, const char* hunter_id,
          const char* job, launch* launch) {
  if (request->kind == SPAWNER_ZYGOTE) return start_zygote(*launcher, *launch);
  if (request->kind == SPAWNER_HOLDER) return start_holder(*launcher, *request, job, *launch);
  return start_worker(*launcher, *request, hunter_id, job, *launch);
}

// Puts this process, and so all processes that it starts, into the jail of a worker.
void enter_jail() {
  int error = 0;
  while (gate_key == 0 && error == 0)
    if (getrandom(&gate_key, sizeof gate_key, 0) != sizeof gate_key) error = errno;
  if (error == 0) error = drop_capabilities_at_exec();
  if (error == 0) error = install_syscall_filter(gate_key);
  if (error == 0) return;
  log::error("workers cannot be jailed, so none is started",
             {{"error", std::strerror(error)}, {"hint", "use a kernel with seccomp filters"}});
  _exit(1);
}

constexpr int kept_from = 10;  // the spawner's own descriptors are at or above

// Moves the spawner's two descriptors to kept_from or above and closes all others but 0 to 2, so
// that a worker inherits nothing of the core's.
void close_other_descriptors(int& socket, int& worker) {
  socket = fcntl(socket, F_DUPFD_CLOEXEC, kept_from);
  worker = fcntl(worker, F_DUPFD_CLOEXEC, kept_from);
  CHECK(socket >= 0 && worker > socket);
  close_range(3, static_cast<unsigned>(socket) - 1, 0);
  close_range(static_cast<unsigned>(socket) + 1, static_cast<unsigned>(worker) - 1, 0);
  close_range(static_cast<unsigned>(worker) + 1, ~0U, 0);
  // A worker could write to the log through these.
  for (int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    fcntl(standard, F_SETFD, FD_CLOEXEC);
}

// Descriptors 3 and 4 must not be free: vfork_exec() duplicates to them.
void occupy_worker_descriptors() {
  int const null = open("/dev/null", O_RDWR | O_CLOEXEC);
  while (null >= 0) {
    int const taken = dup(null);
    if (taken < 0) break;
    fcntl(taken, F_SETFD, FD_CLOEXEC);
    if (taken >= WF_BUNDLE_DESCRIPTOR) break;
  }
}

[[noreturn]] void run_spawner(pid_t core_pid, int socket, int worker) {
  prctl(PR_SET_NAME, "huntd-spawner");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != core_pid) _exit(0);
  // Workers inherit the priority of this process and must not raise it.
  rlimit const none{0, 0};
  CHECK(setrlimit(RLIMIT_NICE, &none) == 0);
  // Signals are for the core; the spawner exits when the core closes its end of the pair.
  for (int ignored : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) signal(ignored, SIG_IGN);
  // A launcher takes it by a descriptor. Workers inherit that it is blocked.
  sigset_t exits;
  sigemptyset(&exits);
  sigaddset(&exits, SIGCHLD);
  CHECK(sigprocmask(SIG_BLOCK, &exits, nullptr) == 0);
  close_other_descriptors(socket, worker);
  occupy_worker_descriptors();
  enter_jail();
  worker_program = worker;
  static launcher launcher;
  launcher.call = pass_gate;
  launcher.start = start;
  launcher.core_socket = socket;
  launcher.bundle = -1;
  launcher_run(&launcher);
  _exit(0);
}

}  // namespace

Result<Spawner> fork_spawner(int worker_descriptor) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return Error{std::string("socketpair for the spawner: ") + std::strerror(errno)};
  // A packet can have all starts of a tick.
  int const bytes = 4 * SPAWNER_PACKET_BYTES_MAX;
  for (int end : pair) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  pid_t const core_pid = getpid();
  pid_t const pid = fork();
  if (pid < 0) {
    Error error{std::string("fork of the spawner: ") + std::strerror(errno)};
    for (int end : pair) close(end);
    return error;
  }
  if (pid == 0) run_spawner(core_pid, pair[1], worker_descriptor);
  close(pair[1]);
  return Spawner{pid, pair[0]};
}

void end_spawner(const Spawner& spawner) {
  kill(spawner.pid, SIGKILL);
  while (waitpid(spawner.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace huntd::server
