/* Packets between a core and what starts its workers: the spawner, or a zygote. Native structs,
 * since both sides are built together and run on one box. C, since the zygote is C.
 */
#pragma once
#include <stdint.h>

enum {
  SPAWNER_USE_BUNDLE = 1, /* core -> spawner, with the bundle's descriptor */
  SPAWNER_START = 2,      /* core -> either, any number in one packet */
  SPAWNER_STATUS = 3,     /* core -> either: how did this worker end? */
  SPAWNER_STARTED = 4,    /* back, with the worker's socket and pidfd unless spawn_errno is set */
  SPAWNER_ENDED = 5,      /* back: the answer to SPAWNER_STATUS */
  SPAWNER_ZYGOTE = 6,     /* both ways: start a zygote; its socket, unless spawn_errno is set */
  SPAWNER_KILL = 7,       /* core -> either: a worker that the core has no descriptors of */
};

/* Followed by hunter_bytes of hunter_id and job_bytes of job frame (SPAWNER_START only; no job: it
 * comes by the worker's socket). */
struct spawner_request {
  uint32_t kind;
  uint32_t place;
  int32_t pid; /* SPAWNER_STATUS and SPAWNER_KILL only */
  uint32_t hunter_bytes;
  uint32_t job_bytes;
};

struct spawner_report {
  uint32_t kind;
  uint32_t place;
  int32_t pid;
  int32_t spawn_errno;
  int32_t wait_status; /* as waitpid(2); SPAWNER_ENDED only */
  uint32_t reserved;
  uint64_t started_at_ns; /* CLOCK_MONOTONIC, just before the birth */
};

/* A tick's starts in one packet. */
enum { SPAWNER_PACKET_BYTES_MAX = 96 * 1024 };
