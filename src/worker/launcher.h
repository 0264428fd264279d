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

/* Reports that wait for each other, to be sent in one packet. */
enum { launcher_reports_max = 8 };

/* A system call through the gate of the filter (worker/syscall_filter.h). Like syscall(2): -1 on
 * failure, with errno set.
 */
typedef long (*launcher_call)(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d,
                              uintptr_t e);

/* One start in progress. The launcher opens the pair and keeps it for the next start in its slot; of
 * a zygote it sends the first end to the core and closes both.
 */
struct launch {
  int pair[2]; /* sockets: the core's end, the worker's end */
  pid_t pid;
  uint64_t started_at_ns; /* CLOCK_MONOTONIC; the start function sets it */
};

/* The workers of one slot, one after the other, have one pair of sockets. */
struct launcher_slot {
  int has_pair;
  int pair[2];
  pid_t pid; /* of the worker; 0: there is none, or it has been collected */
  uint32_t run;
};

struct launcher {
  launcher_call call;
  /* Starts one process for a SPAWNER_START, SPAWNER_HOLDER or SPAWNER_ZYGOTE request, with
   * `pair[1]` as its socket. `hunter_id` and `job` have the sizes that the request says and are not
   * NUL-terminated. Returns 0 once `pid` is set, else an errno; in the child it does not return.
   */
  int (*start)(struct launcher* launcher, const struct spawner_request* request,
               const char* hunter_id, const char* job, struct launch* launch);
  int inherits_jobs; /* a worker has its job in memory, not in its socket */
  int core_socket;
  int bundle;          /* of SPAWNER_USE_BUNDLE; -1 until then */
  int core_gone;       /* the core has closed its end */
  int live;            /* children that have not been collected */
  unsigned slots_used; /* all slots in use are below */
  unsigned report_count;
  struct spawner_report reports[launcher_reports_max];
  struct launcher_slot slots[SPAWNER_SLOTS_MAX];
  char packet[SPAWNER_PACKET_BYTES_MAX];
};

/* Serves requests until the core closes its end of the socket. Exits with status 3 if a packet is
 * malformed, with 4 without a descriptor for its children's exits. REQUIRES: all members are 0,
 * except `call`, `start`, `inherits_jobs`, `core_socket` and `bundle`; SIGCHLD is blocked.
 */
void launcher_run(struct launcher* launcher);

/* Collects children that have exited, and reports them. With WNOHANG in `wait_flags` it does not
 * wait; with 0 it waits until no child is left.
 */
void launcher_collect(struct launcher* launcher, int wait_flags);

/* Kills the workers that are left once the core has closed its end, and collects all children. */
void launcher_end(struct launcher* launcher);

#ifdef __cplusplus
}
#endif
