// SPDX-License-Identifier: Apache-2.0
// The content of /healthz and /readyz, from one snapshot (docs/formats/admin-json.md).
#pragma once
#include <string>

#include "metrics/shared_region.h"

namespace huntd::server {

struct HealthReport {
  bool good = false;
  std::string json;
};

// Good if every core has completed a tick within limits::heartbeat_age_max_ms. Otherwise a restart
// of huntd may help, and the report names each stalled core.
HealthReport check_health(const MetricsSnapshot& snapshot);

// Good if every core is ready, connected to a Redis that it can use, and not draining, so that huntd should get
// traffic. Otherwise the report has the reasons.
HealthReport check_ready(const MetricsSnapshot& snapshot);

}  // namespace huntd::server
