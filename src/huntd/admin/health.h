// SPDX-License-Identifier: Apache-2.0
// The content of /livez, /healthz and /readyz, from one snapshot (docs/formats/admin-json.md).
#pragma once
#include <string>

#include "metrics/shared_region.h"

namespace huntd::server {

struct HealthReport {
  bool good = false;
  std::string json;
  std::string text;  // the reasons in one line; empty if good
};

// Good if a restart of huntd would not help: the parent's loop runs, so that it starts ended cores
// again, and no core has been without a tick for limits::live_core_age_max_ms. What is wrong with
// Redis, or with the start of a core, does not count.
HealthReport check_live(const MetricsSnapshot& snapshot);

// Good if every core has completed a tick within limits::heartbeat_age_max_ms. Otherwise a restart
// of huntd may help, and the report names each stalled core.
HealthReport check_health(const MetricsSnapshot& snapshot);

// Good if the host is not draining, and every core is ready, not stalled as in check_health(), able
// to start workers and connected to a Redis that it can use, so that huntd should get traffic.
// Otherwise the report has the reasons.
HealthReport check_ready(const MetricsSnapshot& snapshot);

}  // namespace huntd::server
