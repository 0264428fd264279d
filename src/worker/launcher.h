/* SPDX-License-Identifier: Apache-2.0 */
/* Starts worker processes for a core, reports how they ended, and kills them on request
 * (wire/spawner_message.h). The spawner (in huntd: vfork and exec) and the zygote (in hunt_worker:
 * fork) are this loop with different start functions. Allocates no memory.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/spawner_message.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The last unsuccessful exits that a core can ask about; older ones are overwritten. */
enum { launcher_statuses_max = 1024 };

/* A system call through the gate of the filter (worker/syscall_filter.h). Like syscall(2): -1 on
 * failure, with errno set.
 */
typedef long (*launcher_call)(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d,
                              uintptr_t e);

/* One start in progress. The launcher opens the pair, sends its first end (and the pidfd) to the
 * core, and closes all three descriptors afterwards.
 */
struct launch {
  int pair[2]; /* sockets: the core's end, the worker's end */
  int pidfd;   /* -1 until the start function sets it */
  pid_t pid;
  uint64_t started_at_ns; /* CLOCK_MONOTONIC; the start function sets it */
};

struct launcher {
  launcher_call call;
  /* Starts one process for a SPAWNER_START, SPAWNER_HOLDER or SPAWNER_ZYGOTE request, with
   * `pair[1]` as its socket. `hunter_id` and `job` have the sizes that the request says and are not
   * NUL-terminated. Returns 0 once `pid` and `pidfd` are set, else an errno; in the child it does
   * not return.
   */
  int (*start)(struct launcher* launcher, const struct spawner_request* request,
               const char* hunter_id, const char* job, struct launch* launch);
  int core_socket;
  int bundle;    /* of SPAWNER_USE_BUNDLE; -1 until then */
  int core_gone; /* the core has closed its end */
  int live;      /* children that have not been collected */
  /* A ring: entries of pid 0 are empty. */
  unsigned status_next;
  struct {
    int32_t pid;
    int32_t wait_status;
  } statuses[launcher_statuses_max];
  char packet[SPAWNER_PACKET_BYTES_MAX];
};

/* Serves requests until the core closes its end of the socket. Exits with status 3 if a packet is
 * malformed. REQUIRES: all members are 0, except `call`, `start`, `core_socket` and `bundle`.
 */
void launcher_run(struct launcher* launcher);

/* Collects children that have exited and keeps the exit status of those that failed. With WNOHANG
 * in `wait_flags` it does not wait; with 0 it waits until no child is left.
 */
void launcher_collect(struct launcher* launcher, int wait_flags);

#ifdef __cplusplus
}
#endif
