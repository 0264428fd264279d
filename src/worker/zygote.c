/* SPDX-License-Identifier: Apache-2.0 */
/* The zygote: one process per core that holds the loaded program and nothing else, and forks a
 * worker for each start request. It never runs a script, so a forked worker is as clean as an
 * executed one; a fork saves the exec. The child inherits its job in memory.
 * The zygote runs under the same filter of system calls as its workers (worker/syscall_filter.h).
 * What it does beyond them needs the gate's key, which is the first packet that the spawner sends.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/clock.h"
#include "worker/core_link.h"
#include "worker/job.h"
#include "worker/launcher.h"
#include "worker/zygote.h"

/* In a mapping that children do not inherit: it has the packets with every hunter's jobs, and how
 * other workers ended. So a child must not touch it.
 */
static struct launcher* launcher;

static void* map_for_zygote_only(size_t bytes) {
  void* const mapped =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED || madvise(mapped, bytes, MADV_DONTFORK) != 0) _exit(4);
  return mapped;
}

/* --- the gate --- */

/* In a page of its own, which children do not inherit. */
static const uint64_t* key;

/* Receives the key from the socket directly into its page. */
static void take_key(void) {
  void* const page = map_for_zygote_only(sizeof *key);
  if (recv(core_socket, page, sizeof *key, 0) != (ssize_t)sizeof *key) _exit(4);
  key = page;
}

/* A launcher_call. Outside of its page the key is only in one register, which is cleared after the
 * system call, in the parent and in a new child.
 */
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

/* --- starting workers --- */

/* In the child: only its own socket and the bundle stay open. Its job, if it has one, is the first
 * `job_bytes` of job_frame. The launcher is not mapped here.
 */
_Noreturn static void run_child(int own_socket, size_t job_bytes, uint64_t started_at_ns) {
  if (syscall(SYS_dup3, own_socket, core_socket, 0) < 0) _exit(4);
  syscall(SYS_close_range, 0, core_socket - 1, 0);
  syscall(SYS_close_range, bundle_descriptor + 1, ~0U, 0);
  if (job_bytes == 0) serve_jobs(NULL, started_at_ns);
  do_job(job_frame, job_bytes, NULL, started_at_ns);
  _exit(0);
}

static int fork_worker(struct launcher* owner, const struct spawner_request* request,
                       const char* hunter_id, const char* job, struct launch* launch) {
  (void)owner;
  (void)hunter_id;
  if (request->kind != SPAWNER_START) return ENOSYS;
  size_t const job_bytes = request->job_bytes;
  if (job_bytes > sizeof job_frame) return EMSGSIZE;
  int const own_socket = launch->pair[1];
  memcpy(job_frame, job, job_bytes); /* the one part of a packet that the child sees */
  launch->started_at_ns = now_ns();
  /* Not fork(): the C library's own work in it is for threads, and the zygote has one. Not clone3():
   * filters of containers cannot see its flags, and forbid it.
   */
  long const pid = pass_gate(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) run_child(own_socket, job_bytes, launch->started_at_ns);
  int const error = errno;
  memset(job_frame, 0, job_bytes); /* the next child sees nothing of it */
  if (pid < 0) return error;
  launch->pid = (pid_t)pid;
  return 0;
}

_Noreturn void run_zygote(void) {
  prctl(PR_SET_NAME, "hunt-zygote");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  take_key();
  launcher = map_for_zygote_only(sizeof *launcher);
  launcher->call = pass_gate;
  launcher->start = fork_worker;
  launcher->inherits_jobs = 1;
  launcher->core_socket = core_socket;
  launcher->bundle = -1; /* children inherit theirs at bundle_descriptor */
  launcher_run(launcher);
  /* The core closed its end: workers that are left have no core to report to. */
  launcher_end(launcher);
  _exit(0);
}
