// One produce call, one straight function: what happens between its body and its answer.
#pragma once
#include "base/task.h"
#include "emit/emitter.h"
#include "http/response.h"
#include "rest/request.h"
#include "stats/core_stats.h"

namespace huntd {

// What the call needs of its core.
struct ProduceContext {
  Emitter& emitter;
  CoreStats& stats;
  std::string_view topic;  // the only one
  uint32_t deadline_ms;
};

// Produces a call's records in the tick's batch and waits for their reports. All of its records are
// good or none is produced. What has no report at the deadline is answered as not known.
Task<Response> produce(ProduceContext& context, ProduceRequest request);

}  // namespace huntd
