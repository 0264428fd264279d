// What /healthz and /readyz say, from one snapshot (docs/formats/admin-json.md).
#pragma once
#include <string>

#include "stats/shared_region.h"

namespace huntd {

struct HealthAnswer {
  bool good = false;
  std::string json;  // also when good
};

// Good where every core's loop has turned within limits::heartbeat_age_max_ms: restarting huntd
// would not help anything. Else the answer names each core that stalls.
HealthAnswer check_health(const StatsSnapshot& snapshot);

// Good where every core is ready, has Redis, and is not draining: send traffic. Else the answer
// says why not.
HealthAnswer check_ready(const StatsSnapshot& snapshot);

}  // namespace huntd
