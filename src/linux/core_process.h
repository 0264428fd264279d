// SPDX-License-Identifier: Apache-2.0
// The process of a core: its ring, spawner and sockets, the environment on Linux, the loop. One
// tick:
// submit and wait, reap completions, fire deadlines, resume ready coroutines, flush the batches.
#pragma once
#include <vector>

#include "core/core.h"
#include "linux/peer_mesh.h"

namespace huntd::server {

// What a core gets from the parent at its fork. It owns the descriptors.
struct CoreSetup : CoreSettings {
  int cpu = -1;                // to run on; -1: any CPU of the parent
  int worker_descriptor = -1;  // the worker program
  std::vector<int> listen_descriptors;
  int control_descriptor = -1;
  PeerDescriptors peer_sockets;  // the sockets between the cores
};

// Runs a core until it has drained. Returns the exit status. REQUIRES: called in a new process.
int run_core(CoreSetup setup);

}  // namespace huntd::server
