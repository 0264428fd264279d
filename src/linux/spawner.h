// SPDX-License-Identifier: Apache-2.0
// The spawner: one small process per core, forked before the core has a ring, sockets and
// librdkafka. Only the spawner calls vfork(2), which stops the calling thread until the child's
// exec, so the core never waits for the start of a worker.
#pragma once
#include <sys/types.h>

#include "base/result.h"

namespace huntd::server {

// The exit status of a core whose spawner has ended.
inline constexpr int exit_without_spawner = 3;

struct Spawner {
  pid_t pid = -1;
  int socket = -1;  // our end of a SOCK_SEQPACKET pair; the spawner exits when it is closed
};

// Forks the spawner (wire/spawner_message.h). It executes the open program `worker_descriptor`,
// which stays the caller's, with the hunter_id as its only argument, an empty environment, the
// socket at descriptor 3 and the bundle at 4.
Result<Spawner> fork_spawner(int worker_descriptor);

// Kills the spawner and waits for its end. The kernel kills its workers then (PR_SET_PDEATHSIG).
// REQUIRES: this process has forked it.
void end_spawner(const Spawner& spawner);

}  // namespace huntd::server
