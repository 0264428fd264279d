// SPDX-License-Identifier: Apache-2.0
// A produce call from its body to its response, as one sequential coroutine.
#pragma once
#include "base/task.h"
#include "core/events/emitter.h"
#include "core/kafka_rest/request.h"
#include "http/response.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

// The parts of a core that a produce call uses. Every reference outlives the calls.
struct ProduceContext {
  Emitter& emitter;
  CoreMetrics& metrics;
  std::string_view topic;  // the only topic
  uint32_t deadline_ms;
};

// Produces the records of a call in the tick's batch, waits for their delivery reports, and returns
// the response. If one record is malformed, none is produced. A record without a report at the
// deadline has the outcome unknown.
Task<Response> produce(ProduceContext& context, ProduceRequest request);

}  // namespace huntd::server
