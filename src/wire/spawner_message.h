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
  /* core -> spawner or zygote: asks for the exit status of a worker; of SPAWNER_PID_NONE, whether
   * the process answers at all
   */
  SPAWNER_STATUS = 3,
  /* the reply to SPAWNER_START, with the worker's socket and pidfd if spawn_errno is 0 */
  SPAWNER_STARTED = 4,
  /* the reply to SPAWNER_STATUS */
  SPAWNER_ENDED = 5,
  /* core -> spawner: start a zygote; the reply has its socket if spawn_errno is 0 */
  SPAWNER_ZYGOTE = 6,
  /* core -> spawner or zygote: kill a worker whose descriptors the core did not receive */
  SPAWNER_KILL = 7,
  /* core -> spawner: start a holder; its body is a holder_start in place of a job. The reply is
   * SPAWNER_STARTED.
   */
  SPAWNER_HOLDER = 8,
};

/* No process has it. */
enum { SPAWNER_PID_NONE = -1 };

/* Followed by `hunter_bytes` of hunter_id and `job_bytes` of job frame (SPAWNER_START), or of a
 * holder_start (SPAWNER_HOLDER). If job_bytes is 0, the job comes later on the worker's socket.
 */
struct spawner_request {
  uint32_t kind;
  uint32_t slot; /* of the worker; of SPAWNER_ZYGOTE: a number that the reply repeats */
  int32_t pid;   /* SPAWNER_STATUS and SPAWNER_KILL only */
  uint32_t hunter_bytes;
  uint32_t job_bytes;
};

/* The first packet on a holder's socket. */
struct holder_start {
  uint64_t gate_key;     /* the spawner sets it (worker/syscall_filter.h) */
  uint64_t clean_key;    /* of the holder's WF_CLEAN frames (wire/worker_frame.h) */
  uint64_t memory_bytes; /* of the jobs that will come */
};

struct spawner_report {
  uint32_t kind;
  uint32_t slot;
  int32_t pid;
  int32_t spawn_errno;
  int32_t wait_status; /* as waitpid(2); SPAWNER_ENDED only */
  uint32_t reserved;
  uint64_t started_at_ns; /* CLOCK_MONOTONIC, just before the worker is started */
};

/* All starts of a tick in one packet. */
enum { SPAWNER_PACKET_BYTES_MAX = 96 * 1024 };
