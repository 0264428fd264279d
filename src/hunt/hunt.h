// One request, one straight function: what happens between a parsed request and its answer.
#pragma once
#include "award/ledger.h"
#include "award/supply.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/task.h"
#include "bundle/bundle.h"
#include "emit/emitter.h"
#include "http/response.h"
#include "hunt/lanes.h"
#include "hunt/request.h"
#include "hunt/worker_pool.h"
#include "io/outside.h"
#include "stats/core_stats.h"

namespace huntd {

// What a hunt needs of its core.
struct HuntContext {
  Scheduler& scheduler;
  Clock& clock;
  CoreStats& stats;
  Ledger& ledger;
  Supply& supply;
  Emitter& emitter;
  WorkerPool& workers;
  Lanes& lanes;
  const Bundle& bundle;  // the one that new runs use; swapped in place
  uint32_t request_deadline_ms;
  log::Budget hunt_log_budget{limits::hunt_log_lines_per_s};
  log::Budget failure_log_budget{limits::hunt_log_lines_per_s};
};

// Runs a hunt once for one hunter: its whole way from admission to the answer. The answer is
// honest: 200 only once the loot is committed together with its events.
Task<Response> run_hunt(HuntContext& context, HuntRequest request);
// What one hunter holds of one hunt, live.
Task<Response> read_held(HuntContext& context, HuntRequest request);

}  // namespace huntd
