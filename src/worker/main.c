/* hunt_worker HUNTER_ID: one job in, one hunt run, one outcome out, exit. Its core's socket is
 * descriptor 3, the sealed bundle is descriptor 4; it opens nothing.
 *   hunt_worker '*'        whose hunter comes with the job: a warm spare, or a worker of many jobs
 *   hunt_worker '*zygote'  forks a worker for every start that comes by its socket
 * Neither is an id, so no hunter can be mistaken for one.
 */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "worker/job.h"

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int argc, char** argv) {
  uint64_t const began_at_ns = now_ns();
  if (argc != 2) {
    fprintf(stderr, "usage: hunt_worker HUNTER_ID (started by huntd; built with %s)\n",
            WORKER_LIBC);
    return 2;
  }
  if (strcmp(argv[1], WF_ARGUMENT_ZYGOTE) == 0) run_zygote();
  /* One that lives on is seen by people; older kernels call a program that was run by its
   * descriptor by that number. */
  if (strcmp(argv[1], WF_ARGUMENT_SPARE) == 0) prctl(PR_SET_NAME, "hunt_worker");
  serve_jobs(strcmp(argv[1], WF_ARGUMENT_SPARE) == 0 ? NULL : argv[1], began_at_ns);
}
