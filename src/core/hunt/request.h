// SPDX-License-Identifier: Apache-2.0
// A client's request for a hunt, whether it came over HTTP or was forwarded by another core.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/pool.h"
#include "http/response.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

struct HuntRequest {
  enum class Kind : uint8_t { run, read_held };
  Kind kind = Kind::run;
  PoolString hunt_id;
  PoolString hunter_id;
  PoolString request_id;        // 32 hex digits; the response's X-Request-Id
  PoolString trace_context;     // of the client's traceparent; empty: none
  PoolString idempotency_key;   // empty: none
  PoolString body;              // JSON, not yet checked; empty: none
  PoolString token;             // a hash of the caller's token, for [rate]; empty: none
  uint64_t received_at_ns = 0;  // CLOCK_MONOTONIC, the same for all cores of a host
};

// Sets the outcome that the response reports to the access log.
inline void report_outcome(Response& response, Counter outcome) {
  response.report.outcome = static_cast<uint8_t>(outcome);
}

// The response if it is unknown whether a run's loot was awarded. `keyed`: the client sent an
// Idempotency-Key, with which it may ask again. Otherwise the response names the request_id, which
// is accepted as the key of a repeat.
Response outcome_unknown(bool keyed, std::string_view request_id);

// The detail of a request with a key that awarded nothing: an earlier attempt may have committed,
// or Redis may still execute its commit, so "nothing was awarded" is true of this attempt only.
PoolString detail_of_attempt(std::string_view detail);

}  // namespace huntd::server
