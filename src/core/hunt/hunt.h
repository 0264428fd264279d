// SPDX-License-Identifier: Apache-2.0
// A hunt from its parsed request to its response, as one sequential coroutine.
#pragma once
#include <algorithm>
#include <optional>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/task.h"
#include "bundle/bundle.h"
#include "chance/seed.h"
#include "core/events/emitter.h"
#include "core/hunt/hunt_ranking.h"
#include "core/hunt/hunter_queue.h"
#include "core/hunt/request.h"
#include "core/hunt/run_limits.h"
#include "core/hunt/worker_pool.h"
#include "core/ledger/ledger.h"
#include "core/ledger/supply.h"
#include "environment/environment.h"
#include "http/response.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

// The parts of a core that a hunt uses. Every reference outlives the hunts.
struct HuntContext {
  Scheduler& scheduler;
  Clock& clock;
  CoreMetrics& metrics;
  HuntRanking& hunt_ranking;
  Ledger& ledger;
  Supply& supply;
  Emitter& emitter;
  WorkerPool& workers;
  HunterQueue& hunter_queue;
  RunLimits& run_limits;
  const Bundle& bundle;  // new runs use it; a reload replaces it in place
  // Of hunt.random(); none until Redis has sent the secret.
  const std::optional<SeedKey>& seed_key;
  uint32_t request_deadline_ms;

  // When a request that was received at `received_at_ns` must have its response.
  uint64_t deadline_at_ns(uint64_t received_at_ns) const {
    return received_at_ns + request_deadline_ms * ns_per_ms;
  }
  // When its hunt must have started: later, the script could not have the whole of its deadline.
  uint64_t start_by_ns(uint64_t received_at_ns) const {
    uint32_t const of_hunt_ms = std::min(workers.limits().deadline_ms, request_deadline_ms);
    return deadline_at_ns(received_at_ns) - of_hunt_ms * ns_per_ms;
  }

  log::Budget hunt_log_budget{limits::hunt_log_lines_per_s};
  log::Budget failure_log_budget{limits::hunt_log_lines_per_s};
};

// The response to a run without an Idempotency-Key if run_hunt() would reject it for a standing
// queue; it is counted as rejected. Costs no coroutine. Nothing: call run_hunt().
std::optional<Response> shed_run(HuntContext& context, std::string_view hunt_id);
// Runs a hunt once for one hunter and returns the response. The status is 200 only if the loot was
// committed together with its events.
Task<Response> run_hunt(HuntContext& context, HuntRequest request);
// Returns what the hunter holds of the hunt now.
Task<Response> read_held(HuntContext& context, HuntRequest request);

}  // namespace huntd::server
