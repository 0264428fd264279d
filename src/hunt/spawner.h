// The spawner: one tiny process a core, forked before ring, sockets and librdkafka exist. It alone
// calls vfork, which keeps the calling thread stopped until the child execs, so the reactor
// never waits for a birth.
#pragma once
#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace huntd {

struct Spawner {
  pid_t pid = -1;
  int socket = -1;  // this side of the SOCK_SEQPACKET pair; the spawner ends when it closes
};

// Forks the spawner. It runs the program open as `worker_descriptor` (which stays the caller's)
// with the hunter_id as its only argument, an empty environment, its socket at descriptor 3 and the
// bundle at 4.
Result<Spawner> fork_spawner(int worker_descriptor);

}  // namespace huntd
