// One core's logic: clients, siblings, workers, Redis and the event log put together on the seam
// (io/outside.h). The process around it (huntd/core_process.h) or a simulation turns it. Nothing
// here blocks; nothing is shared with other cores but the counters that it alone writes.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "award/redis_link.h"
#include "base/config.h"
#include "bundle/bundle.h"
#include "http/connection.h"
#include "hunt/hunt.h"
#include "huntd/control.h"
#include "route/core_map.h"
#include "route/peers.h"

namespace huntd {

// Which core it is, and what it is to do.
struct CoreSettings {
  uint32_t index = 0;
  uint32_t epoch = 1;  // which life of this core
  Config config;
  Address redis;  // resolved
  std::string redis_password;
  Secrets secrets;              // who may call
  std::vector<PeerNews> peers;  // how the others are now
  int bundle_descriptor = -1;   // the core's own copy
  CoreStats* stats = nullptr;
};

// Whom it talks to on this box.
struct CoreLinks {
  MessageLink& parent;
  std::vector<MessageLink*> cores;  // by core; null at its own index
};

// What a core holds for others at one moment; all of it is 0 where it is quiet.
struct CoreHolds {
  size_t connections = 0;
  size_t requests = 0;
  size_t hunters = 0;  // that have a request under way
  size_t workers = 0;
  size_t redis_commands = 0;  // without a reply
  bool events_done = true;    // none is under way to the log or on its way out of the outbox
};

class Core {
 public:
  virtual ~Core() = default;
  // Starts what runs as long as the core; once.
  virtual void begin() = 0;
  // One turn, when the scheduler has its time and what came has been noted: deadlines, then what is
  // ready, then the turn's batches to the event log and to Redis. Wanted at least every 250 ms.
  // What it sends to siblings, parent and workers leaves when their links are flushed after it.
  virtual void turn() = 0;
  virtual bool draining() const = 0;
  virtual bool done() const = 0;  // it has drained
  // The last batches of a core that is done, after the event log's last reports.
  virtual void finish() = 0;
  virtual CoreHolds holds() const = 0;
};

// All that is given must live as long as the core. The error says why the bundle can't be read.
Result<std::unique_ptr<Core>> open_core(CoreSettings settings, const Outside& outside,
                                        const CoreLinks& links, Scheduler& scheduler);

WorkerLimits worker_limits(const Config& config);

}  // namespace huntd
