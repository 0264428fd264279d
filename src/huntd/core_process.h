// One core as a process: its ring, spawner and sockets, the kernel's side of the seam, and the
// tick: submit and wait → reap completions → fire deadlines → resume what is ready → flush the
// tick's batches.
#pragma once
#include <vector>

#include "huntd/core.h"

namespace huntd {

// What the parent hands to a core at its fork.
struct CoreSetup : CoreSettings {
  int cpu = -1;                // to run on; -1: wherever the parent may
  int worker_descriptor = -1;  // the worker program
  int listen_descriptor = -1;
  int control_descriptor = -1;
  std::vector<int> peer_descriptors;  // by core; -1 at `index`
};

// Runs a core until it has drained; returns the process's exit status. Called in a fresh process.
int run_core(CoreSetup setup);

}  // namespace huntd
