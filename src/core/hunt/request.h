// SPDX-License-Identifier: Apache-2.0
// A client's request for a hunt, whether it came over HTTP or was forwarded by another core.
#pragma once
#include <cstdint>

#include "base/pool.h"

namespace huntd::server {

struct HuntRequest {
  enum class Kind : uint8_t { run, read_held };
  Kind kind = Kind::run;
  PoolString hunt_id;
  PoolString hunter_id;
  PoolString idempotency_key;   // empty: none
  PoolString body;              // JSON, not yet checked; empty: none
  uint64_t received_at_ns = 0;  // CLOCK_MONOTONIC, the same for all cores of a host
};

}  // namespace huntd::server
