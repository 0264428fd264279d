// SPDX-License-Identifier: Apache-2.0
// /latency.json and /status.json, as huntctl and the admin page read them
// (docs/formats/admin-json.md).
#pragma once
#include <string>

#include "metrics/shared_region.h"

namespace huntd {

// Each core's stages with count, mean, percentiles, maximum and distribution, and "all": the cores
// added up.
std::string write_latency_json(const MetricsSnapshot& snapshot);

// Each core's state, process, bundle, counters and gauges. Needs no histograms in `snapshot`.
std::string write_status_json(const MetricsSnapshot& snapshot);

}  // namespace huntd
