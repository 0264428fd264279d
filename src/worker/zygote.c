/* The zygote: one process a core that holds the loaded program and nothing else, and forks a worker
 * for each start that comes by its socket. It never runs a script, so every worker begins as clean
 * as a spawned one; what a fork saves is the exec. A child inherits its job in memory.
 * It lives in the jail as its workers do (jail/syscall_filter.h); what it may do more than they is
 * for who has the key, which the spawner sends it first of all.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "protocol/spawner_message.h"
#include "worker/job.h"

/* clone(2); musl has neither. */
struct clone_args {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

enum {
  collect_every_ms = 100, /* ended workers are collected with the next start, or after this */
  statuses_max = 1024,    /* how the last workers that ended badly did so */
};

static LARGE char packet[SPAWNER_PACKET_BYTES_MAX];
static int live;
static LARGE struct {
  int32_t pid;
  int32_t status;
} statuses[statuses_max];
static unsigned statuses_at;

/* --- the gate
 * -------------------------------------------------------------------------------------------------
 */

/* A page of its own, which a child does not have. */
static const uint64_t* key;

/* Takes the key from the socket straight into its page. */
static void take_key(void) {
  void* const page =
      mmap(NULL, sizeof *key, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED || madvise(page, sizeof *key, MADV_DONTFORK) != 0) _exit(4);
  if (recv(core_socket, page, sizeof *key, 0) != (ssize_t)sizeof *key) _exit(4);
  key = page;
}

/* A system call behind the gate, as syscall(2). Between its page and the kernel the key is in one
 * register, which is cleared after: also in a child, which returns from here too. */
static long pass_gate(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d,
                      uintptr_t e) {
#if defined(__x86_64__)
  long result = number;
  register uintptr_t fourth __asm__("r10") = d;
  register uintptr_t fifth __asm__("r8") = e;
  register const uint64_t* sixth __asm__("r9") = key;
  __asm__ volatile(
      "mov (%%r9), %%r9\n\t"
      "syscall\n\t"
      "xor %%r9d, %%r9d"
      : "+a"(result), "+r"(sixth)
      : "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
      : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long which __asm__("x8") = number;
  register uintptr_t result __asm__("x0") = a;
  register uintptr_t second __asm__("x1") = b;
  register uintptr_t third __asm__("x2") = c;
  register uintptr_t fourth __asm__("x3") = d;
  register uintptr_t fifth __asm__("x4") = e;
  register const uint64_t* sixth __asm__("x5") = key;
  __asm__ volatile(
      "ldr x5, [x5]\n\t"
      "svc #0\n\t"
      "mov x5, xzr"
      : "+r"(result), "+r"(sixth)
      : "r"(which), "r"(second), "r"(third), "r"(fourth), "r"(fifth)
      : "memory");
#endif
  if ((long)result >= 0 || (long)result < -4095) return (long)result;
  errno = (int)-(long)result;
  return -1;
}

static pid_t wait_for(pid_t pid, int* status, int flags) {
  return (pid_t)pass_gate(SYS_wait4, (uintptr_t)(long)pid, (uintptr_t)status,
                          (uintptr_t)(long)flags, 0, 0);
}
static void let_go(int descriptor) {
  if (descriptor >= 0) pass_gate(SYS_close, (uintptr_t)descriptor, 0, 0, 0, 0);
}

/* --- births
 * -------------------------------------------------------------------------------------------------
 */

static void collect(int flags) {
  int status;
  pid_t pid;
  while (live > 0 && (pid = wait_for(-1, &status, flags)) > 0) {
    --live;
    if (status == 0) continue; /* the usual end; nobody asks */
    statuses[statuses_at].pid = pid;
    statuses[statuses_at].status = status;
    statuses_at = (statuses_at + 1) % statuses_max;
  }
}

static void tell_core(struct spawner_report* report, const int* descriptors, size_t count) {
  union {
    char bytes[CMSG_SPACE(2 * sizeof(int))];
    struct cmsghdr aligned;
  } control;
  struct iovec iov = {report, sizeof *report};
  struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    header.msg_control = &control;
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), descriptors, count * sizeof(int));
  }
  while (pass_gate(SYS_sendmsg, core_socket, (uintptr_t)&header, MSG_NOSIGNAL, 0, 0) < 0)
    if (errno != EINTR) {
      collect(0);
      _exit(0); /* the core is gone */
    }
}

/* In the child: only its own socket and the bundle stay open. */
_Noreturn static void be_worker(int own_socket, const char* job, size_t job_bytes,
                                uint64_t began_at_ns) {
  if (syscall(SYS_dup3, own_socket, core_socket, 0) < 0) _exit(4);
  syscall(SYS_close_range, 0, core_socket - 1, 0);
  syscall(SYS_close_range, bundle_descriptor + 1, ~0U, 0);
  if (job_bytes == 0) serve_jobs(NULL, began_at_ns);
  do_job((const unsigned char*)job, job_bytes, NULL, began_at_ns);
  _exit(0);
}

static void start(const struct spawner_request* request, const char* job) {
  struct spawner_report report = {.kind = SPAWNER_STARTED, .place = request->place};
  int pair[2] = {-1, -1};
  int pidfd = -1;
  report.started_at_ns = now_ns();
  if (pass_gate(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, (uintptr_t)pair, 0) !=
      0) {
    report.spawn_errno = errno;
  } else {
    struct clone_args arguments = {
        .flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    /* Not fork(): the C library's bookkeeping serves threads, and there are none. */
    long const pid = pass_gate(SYS_clone3, (uintptr_t)&arguments, sizeof arguments, 0, 0, 0);
    if (pid == 0) be_worker(pair[1], job, request->job_bytes, report.started_at_ns);
    if (pid < 0) {
      report.spawn_errno = errno;
    } else {
      ++live;
      report.pid = (int32_t)pid;
    }
  }
  int const descriptors[2] = {pair[0], pidfd};
  tell_core(&report, descriptors, report.spawn_errno == 0 ? 2 : 0);
  let_go(pidfd);
  let_go(pair[0]);
  let_go(pair[1]);
}

static void tell_status(const struct spawner_request* request) {
  collect(WNOHANG);
  struct spawner_report report = {
      .kind = SPAWNER_ENDED, .place = request->place, .pid = request->pid};
  for (unsigned i = 0; i < statuses_max; ++i)
    if (statuses[i].pid == request->pid) {
      report.wait_status = statuses[i].status;
      statuses[i].pid = 0;
      break;
    }
  tell_core(&report, NULL, 0);
}

static void serve_packet(size_t size) {
  const char* at = packet;
  const char* const end = packet + size;
  while (at < end) {
    struct spawner_request request;
    if ((size_t)(end - at) < sizeof request) _exit(3);
    memcpy(&request, at, sizeof request);
    at += sizeof request;
    if ((size_t)(end - at) < (size_t)request.hunter_bytes + request.job_bytes) _exit(3);
    int status;
    if (request.kind == SPAWNER_START)
      start(&request, at + request.hunter_bytes);
    else if (request.kind == SPAWNER_STATUS)
      tell_status(&request);
    else if (request.kind == SPAWNER_KILL && wait_for(request.pid, &status, WNOHANG) == 0)
      /* Still our child, so the pid is still its own. */
      pass_gate(SYS_kill, (uintptr_t)(long)request.pid, SIGKILL, 0, 0, 0);
    at += request.hunter_bytes + request.job_bytes;
  }
}

_Noreturn void run_zygote(void) {
  prctl(PR_SET_NAME, "hunt-zygote");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  take_key();
  for (;;) {
    struct pollfd wait = {core_socket, POLLIN, 0};
    struct timespec pause = {0, collect_every_ms * 1000000L};
    long const ready =
        pass_gate(SYS_ppoll, (uintptr_t)&wait, 1, live > 0 ? (uintptr_t)&pause : 0, 0, 0);
    collect(WNOHANG);
    if (ready <= 0) continue;
    ssize_t const size = recv(core_socket, packet, sizeof packet, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    serve_packet((size_t)size);
  }
  /* The core wants no more of it: its workers end first, or would be killed with it. */
  collect(0);
  _exit(0);
}
