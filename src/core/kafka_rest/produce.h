// SPDX-License-Identifier: Apache-2.0
// A produce call from its body to its response, as one sequential coroutine.
#pragma once
#include "base/scheduler.h"
#include "base/task.h"
#include "bundle/bundle.h"
#include "core/events/emitter.h"
#include "core/kafka_rest/request.h"
#include "core/ledger/ledger.h"
#include "http/response.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

// The parts of a core that a produce call uses. Every reference outlives the calls.
struct ProduceContext {
  Scheduler& scheduler;
  Emitter& emitter;
  Ledger& ledger;        // which hunts are closed or purged
  const Bundle& bundle;  // which hunts have a script; a reload replaces it in place
  CoreMetrics& metrics;
  std::string_view topic;  // the only topic
  uint32_t deadline_ms;
};

// Produces the records of a call in the tick's batch, waits for their delivery reports, and returns
// the response. If one record is malformed, or of a hunt that takes none from a caller, none is
// produced. A record without a report at the deadline, or soon after the start of a drain, has the outcome
// unknown.
Task<Response> produce(ProduceContext& context, ProduceRequest request);

}  // namespace huntd::server
