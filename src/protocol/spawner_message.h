// Packets between a core and its spawner: native structs, since both are one binary on one box.
#pragma once
#include <cstdint>

namespace huntd {

enum class SpawnerMessage : uint32_t {
  use_bundle = 1,  // core → spawner, with the bundle's descriptor
  start = 2,       // core → spawner, any number in one packet
  status = 3,      // core → spawner: how did this worker end?
  started = 4,     // spawner → core, with the worker's socket and pidfd unless spawn_errno is set
  ended = 5,       // spawner → core: the answer to `status`
};

// Followed by hunter_bytes of hunter_id and job_bytes of job frame (start only).
struct SpawnerRequest {
  SpawnerMessage kind;
  uint32_t place;
  int32_t pid;  // status only
  uint32_t hunter_bytes;
  uint32_t job_bytes;
};

struct SpawnerReport {
  SpawnerMessage kind;
  uint32_t place;
  int32_t pid;
  int32_t spawn_errno;
  int32_t wait_status;  // as waitpid(2); ended only
  uint32_t reserved = 0;
  uint64_t started_at_ns;  // CLOCK_MONOTONIC, just before the spawn
};

// Where a worker finds what it inherits.
inline constexpr int worker_socket_descriptor = 3;
inline constexpr int worker_bundle_descriptor = 4;

}  // namespace huntd
