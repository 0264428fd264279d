/* SPDX-License-Identifier: Apache-2.0 */
/* hunt_worker HUNTER_ID: receives one job, runs one hunt, sends one outcome, exits. Descriptor 3 is
 * the socket to its core, descriptor 4 the sealed bundle; it opens no file.
 *   hunt_worker '*'        an idle worker: the hunter comes with the job, and more jobs may follow
 *   hunt_worker '*zygote'  forks a worker for each start request on its socket
 *   hunt_worker '*holder'  runs each job that comes on its socket in a task of its own
 *   hunt_worker '*tasks'   exits at once, with status 0 if it can be a holder
 * None of the arguments is a valid hunter_id.
 */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "wire/worker_frame.h"
#include "worker/clock.h"
#include "worker/holder.h"
#include "worker/job.h"
#include "worker/zygote.h"

int main(int argc, char** argv) {
  uint64_t const started_at_ns = now_ns();
  if (argc != 2) {
    fprintf(stderr, "usage: hunt_worker HUNTER_ID (started by huntd; built with %s)\n",
            WORKER_LIBC);
    return 2;
  }
  if (strcmp(argv[1], WF_ARGUMENT_ZYGOTE) == 0) run_zygote();
  if (strcmp(argv[1], WF_ARGUMENT_HOLDER) == 0) run_holder();
  if (strcmp(argv[1], WF_ARGUMENT_TASKS) == 0) return can_hold_tasks() ? 0 : 5;
  int const is_idle = strcmp(argv[1], WF_ARGUMENT_IDLE) == 0;
  /* A long-lived worker is visible in ps. Older kernels name a program that was executed by its
   * descriptor after the descriptor's number.
   */
  if (is_idle) prctl(PR_SET_NAME, "hunt_worker");
  serve_jobs(is_idle ? NULL : argv[1], started_at_ns);
}
