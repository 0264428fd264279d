// What a client asks of a hunt, free of how it came: over HTTP here, or forwarded by another core.
#pragma once
#include <cstdint>

#include "base/pool.h"

namespace huntd {

struct HuntRequest {
  enum class Kind : uint8_t { run, read_held };
  Kind kind = Kind::run;
  Text hunt_id;
  Text hunter_id;
  Text idempotency_key;         // empty: none
  Text body;                    // JSON, not yet checked; empty: none
  uint64_t received_at_ns = 0;  // on this box's monotonic clock, which all cores share
};

}  // namespace huntd
