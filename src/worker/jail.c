/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/jail.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "worker/core_link.h"
#include "worker/syscall_filter.h"

/* What a worker maps besides the script's memory: its own program, stack and buffers (1.1 MB). */
enum { base_bytes = 2 * 1024 * 1024 };
/* More than the largest worker.deadline_ms: a worker ends even if its core no longer watches it. */
enum { cpu_s_max = 15 };

static void limit(int resource, rlim_t soft, rlim_t hard) {
  struct rlimit both = {soft, hard};
  if (setrlimit(resource, &both) != 0) _exit(4);
}

static time_t cpu_s(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return used.tv_sec;
}

/* For a worker that was not started by a spawner: for a check, or by a test. */
static void jail_myself(void) {
  syscall(SYS_close_range, 0, core_socket - 1, 0);
  syscall(SYS_close_range, bundle_descriptor + 1, ~0U, 0);
  if (drop_capabilities() != 0 || install_syscall_filter(0) != 0) _exit(4);
}

void drop_rights(uint64_t memory_bytes, size_t extra_bytes, enum worker_kind kind) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  limit(RLIMIT_AS, base_bytes + extra_bytes + memory_bytes,
        base_bytes + extra_bytes + memory_bytes);
  if (kind != many_jobs) limit(RLIMIT_CPU, cpu_s_max, cpu_s_max);
  limit(RLIMIT_CORE, 0, 0);
  limit(RLIMIT_FSIZE, 0, 0);
  /* A holder starts its tasks through the gate of the filter; a task can't pass it. */
  if (kind != job_tasks) limit(RLIMIT_NPROC, 0, 0);
  limit(RLIMIT_NOFILE, bundle_descriptor + 1, bundle_descriptor + 1);
  if (!has_syscall_filter()) jail_myself();
}

void yield_to_others(void) {
  struct sched_param const none = {0};
  syscall(SYS_sched_setscheduler, 0, SCHED_IDLE, &none); /* musl's function does nothing */
}

void bound_next_job(void) {
  static time_t bound_s;
  time_t const now_s = cpu_s();
  if (bound_s - now_s >= cpu_s_max) return;
  bound_s = now_s + 2 * cpu_s_max;
  limit(RLIMIT_CPU, (rlim_t)bound_s, RLIM_INFINITY);
}
