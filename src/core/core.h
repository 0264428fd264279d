// SPDX-License-Identifier: Apache-2.0
// The logic of one core: clients, peers, workers, Redis and the event log, on top of an Environment
// (environment/environment.h). linux/core_process.h or a simulation drives it. Nothing here blocks,
// and nothing is shared with other cores except the metrics, which only this core writes.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "auth/secrets.h"
#include "base/scheduler.h"
#include "config/config.h"
#include "core/control.h"
#include "core/hunt/worker_pool.h"
#include "environment/environment.h"
#include "environment/redis_access.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

// Within this time after their last change, a core with Kafka has counted the events in its outboxes
// (Gauge::outbox_pending).
inline constexpr uint64_t outbox_counted_within_ns = 15'000'000'000;

struct CoreSettings {
  uint32_t index = 0;
  uint32_t incarnation = 1;  // counts the starts of this core
  Config config;
  RedisServers redis;
  RedisLogins redis_logins;
  Secrets secrets;
  std::string seed_secret;        // of hunts.seed_secret_file; empty: of the ledger
  std::vector<PeerUpdate> peers;  // the state of the other cores at the start
  bool leaving = false;           // as in ControlMessage::leaving, at the start
  int bundle_descriptor = -1;     // owned by the core
  CoreMetrics* metrics = nullptr;
};

// The core's links to the other processes of its host.
struct CoreLinks {
  MessageLink& parent;
  std::vector<MessageLink*> cores;  // by core; null at its own index
};

// The work that a core has at one moment. An idle core has zeros everywhere, and events_done.
struct CoreLoad {
  size_t connections = 0;
  size_t requests = 0;
  size_t hunters = 0;  // with a running request
  size_t workers = 0;
  size_t redis_commands = 0;  // without a reply
  bool events_done = true;    // all events are reported by the log and removed from their outboxes
};

class Core {
 public:
  virtual ~Core() = default;
  // Starts the core's background coroutines. Call once, before the first tick.
  virtual void start() = 0;
  // Runs one tick: expires deadlines, resumes coroutines, then flushes the batches to the event log
  // and to Redis. Call it at least every 250 ms, and flush the links of peers, parent and workers
  // afterwards. REQUIRES: the scheduler has the time of this tick, and the environment has reported
  // its completions.
  virtual void tick() = 0;
  // For how many completions the next tick may wait for a moment: one, or more if requests are being
  // rejected because more arrive than can be served.
  virtual unsigned completions_wanted() const = 0;
  virtual bool draining() const = 0;
  virtual bool done() const = 0;  // drained: the process may end
  // Flushes the last batches to Redis. REQUIRES: done().
  virtual void finish() = 0;
  virtual CoreLoad load() const = 0;
};

// Opens a core. All references must outlive it. Fails if the bundle cannot be read.
Result<std::unique_ptr<Core>> open_core(CoreSettings settings, const Environment& environment,
                                        const CoreLinks& links, Scheduler& scheduler);

WorkerLimits worker_limits(const Config& config);

}  // namespace huntd::server
