/* hunt_worker HUNTER_ID: one job in, one hunt run, one outcome out, exit. Its core's socket is
 * descriptor 3, the sealed bundle is descriptor 4; it opens nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "worker/worker.h"

enum { core_socket = 3, bundle_descriptor = 4 };
/* What a worker has mapped before its script runs: its own image, stack and buffers (1.1 MB). */
enum { base_bytes = 2 * 1024 * 1024 };
/* More than the largest worker.deadline_ms: a worker that nobody watches any more ends all the
 * same. */
enum { cpu_s_max = 15 };

static struct run the_run;
/* In the image, not from malloc(): a birth is faster by a tenth without setting up a heap. */
static char script[WF_SCRIPT_BYTES_MAX];
static unsigned char job_frame[WF_FRAME_BYTES_MAX];
static unsigned char answer_frame[WF_FRAME_BYTES_MAX];
static unsigned char outcome_frame[WF_FRAME_BYTES_MAX];

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void set_reason(struct run* run, const char* text, size_t size) {
  if (size > sizeof run->reason) size = sizeof run->reason;
  memcpy(run->reason, text, size);
  run->outcome.reason.data = run->reason;
  run->outcome.reason.size = (uint32_t)size;
}

void tell(const unsigned char* frame, size_t size) {
  if (size == 0 || send(core_socket, frame, size, MSG_NOSIGNAL) != (ssize_t)size) _exit(3);
}

void ask(const unsigned char* frame, size_t size, enum wf_type want, struct wf_reader* answer) {
  tell(frame, size);
  ssize_t length;
  do length = recv(core_socket, answer_frame, sizeof answer_frame, 0);
  while (length < 0 && errno == EINTR);
  if (length <= 0 || wf_open(answer, answer_frame, (size_t)length) != (int)want) _exit(3);
}

static void limit(int resource, rlim_t to) {
  struct rlimit both = {to, to};
  if (setrlimit(resource, &both) != 0) _exit(4);
}

/* The worker gives up what it needs no more, so that a script that breaks out of the VM finds
 * nothing. */
static void drop_rights(const struct wf_job* job) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  limit(RLIMIT_AS, base_bytes + job->memory_bytes);
  limit(RLIMIT_CPU, cpu_s_max);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_NPROC, 0);
  limit(RLIMIT_NOFILE, bundle_descriptor + 1);
}

/* Reads the hunt's source from the bundle; 0 where it can't. */
static int read_script(const struct wf_job* job) {
  size_t have = 0;
  while (have < job->script_bytes) {
    ssize_t const got = pread(bundle_descriptor, script + have, job->script_bytes - have,
                              (off_t)(job->script_offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    have += (size_t)got;
  }
  return 1;
}

int main(int argc, char** argv) {
  struct run* run = &the_run;
  run->outcome.started_at_ns = now_ns();
  if (argc != 2) {
    fprintf(stderr, "usage: hunt_worker HUNTER_ID (started by huntd; built with %s)\n",
            WORKER_LIBC);
    return 2;
  }
  ssize_t length;
  do length = recv(core_socket, job_frame, sizeof job_frame, 0);
  while (length < 0 && errno == EINTR);
  if (length <= 0) return 3;

  struct wf_reader reader;
  struct wf_job* job = &run->job;
  run->outcome.status = WF_BAD_JOB;
  if (wf_open(&reader, job_frame, (size_t)length) != WF_JOB || !wf_read_job(&reader, job) ||
      job->hunter_id.size != strlen(argv[1]) ||
      memcmp(job->hunter_id.data, argv[1], job->hunter_id.size) != 0) {
    set_reason(run, "the job is not for this worker", strlen("the job is not for this worker"));
  } else {
    drop_rights(job);
    if (!read_script(job))
      set_reason(run, "the bundle can't be read", strlen("the bundle can't be read"));
    else
      run_script(open_vm(), run, script, job->script_bytes);
  }
  tell(outcome_frame, wf_write_outcome(outcome_frame, sizeof outcome_frame, &run->outcome));
  _exit(0); /* the kernel frees the VM faster than we could */
}
