// One core: its whole world, and the tick. reap completions → fire deadlines → resume what is ready
// → flush the tick's batches → submit and wait. Nothing here blocks; nothing is shared with other
// cores but the counters that it alone writes.
#pragma once
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "award/redis_link.h"
#include "base/config.h"
#include "bundle/bundle.h"
#include "emit/kafka_log.h"
#include "http/connection.h"
#include "hunt/hunt.h"
#include "huntd/control.h"
#include "route/core_map.h"
#include "route/peers.h"
#include "uring/message_link.h"
#include "uring/network.h"
#include "uring/worker_host.h"

namespace huntd {

// What the parent hands to a core at its fork.
struct CoreSetup {
  uint32_t index = 0;
  uint32_t epoch = 1;  // which life of this core
  int cpu = -1;        // to run on; -1: wherever the parent may
  Config config;
  Address redis;  // resolved
  std::string redis_password;
  int worker_descriptor = -1;  // the worker program
  int listen_descriptor = -1;
  int control_descriptor = -1;
  std::vector<int> peer_descriptors;  // by core; -1 at `index`
  std::vector<PeerNews> peers;        // how the others are now
  int bundle_descriptor = -1;         // the core's own copy
  CoreStats* stats = nullptr;
};

// Runs a core until it has drained; returns the process's exit status. Called in a fresh process.
int run_core(CoreSetup setup);

WorkerLimits worker_limits(const Config& config);

}  // namespace huntd
