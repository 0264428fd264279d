/* SPDX-License-Identifier: Apache-2.0 */
/* Packets between a core and the two processes that start its workers: the spawner and the zygote.
 * Native structs: both sides are built together and run on one host. C, since the zygote is C.
 */
#pragma once
#include <stdint.h>

enum {
  /* core -> spawner, with the bundle's descriptor: what workers started from now on run */
  SPAWNER_USE_BUNDLE = 1,
  /* core -> spawner or zygote, any number per packet */
  SPAWNER_START = 2,
  /* core -> spawner or zygote: asks whether the process replies at all */
  SPAWNER_PING = 3,
  /* the reply to SPAWNER_START and SPAWNER_HOLDER, with the core's end of the slot's socket if the
   * request asks for a new one and spawn_errno is 0
   */
  SPAWNER_STARTED = 4,
  /* spawner or zygote -> core: a worker has exited, and can send nothing more */
  SPAWNER_ENDED = 5,
  /* core -> spawner: start a zygote; the reply has its socket if spawn_errno is 0 */
  SPAWNER_ZYGOTE = 6,
  /* core -> spawner or zygote: kill a worker, unless it has exited */
  SPAWNER_KILL = 7,
  /* core -> spawner: start a holder; its body is a holder_start in place of a job. The reply is
   * SPAWNER_STARTED.
   */
  SPAWNER_HOLDER = 8,
  /* the reply to SPAWNER_PING */
  SPAWNER_PONG = 9,
};

/* Slots of a core's workers: more than twice the largest worker.max_live. */
enum { SPAWNER_SLOTS_MAX = 16384 };

/* The first slots keep their sockets; a worker of another one gets a new pair. Each descriptor that
 * a launcher has is copied and closed by each start.
 */
enum { SPAWNER_KEPT_SLOTS = 32 };

/* Followed by `hunter_bytes` of hunter_id and `job_bytes` of job frame (SPAWNER_START), or of a
 * holder_start (SPAWNER_HOLDER). If job_bytes is 0, the job comes later on the slot's socket.
 */
struct spawner_request {
  uint32_t kind;
  uint32_t slot;       /* of the worker; of SPAWNER_ZYGOTE: a number that the reply repeats */
  uint32_t run;        /* which start in this slot it is, or is about; the reports repeat it */
  uint32_t new_socket; /* SPAWNER_START, SPAWNER_HOLDER: 0: with the socket of the last start */
  uint32_t hunter_bytes;
  uint32_t job_bytes;
};

/* The first packet on a holder's socket. */
struct holder_start {
  uint64_t gate_key;     /* the spawner sets it (worker/syscall_filter.h) */
  uint64_t clean_key;    /* of the holder's WF_CLEAN frames (wire/worker_frame.h) */
  uint64_t memory_bytes; /* of the jobs that will come */
};

/* A packet from a spawner or a zygote has one or more; one with a descriptor has one only. */
struct spawner_report {
  uint32_t kind;
  uint32_t slot;
  uint32_t run;
  int32_t spawn_errno;
  int32_t wait_status; /* as waitpid(2); SPAWNER_ENDED only */
  uint32_t reserved;
  uint64_t started_at_ns; /* CLOCK_MONOTONIC, just before the worker is started */
};

/* All starts of a tick in one packet. */
enum { SPAWNER_PACKET_BYTES_MAX = 96 * 1024 };
