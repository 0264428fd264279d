// SPDX-License-Identifier: Apache-2.0
// The latency of an interval: huntd's histograms cover the whole time since it started, so it is the
// difference of two reports.
#pragma once
#include <string>

#include "huntctl/latency_report.h"

namespace huntd::huntctl {

// What was recorded after `before` and up to `now`; if huntd was started in between, since that
// start. Counts are exact. A report has ten bounds per decade and not the values, so a percentile
// lies between its value's two bounds: it is at most 26 % off, and the mean 13 %. `max_us` is exact
// if it is the largest since huntd started, else it is a bound that no value exceeds.
LatencyReport latency_between(const LatencyReport& before, const LatencyReport& now);

// `report` as one JSON object: the members of /latency.json, and `from_ms`.
std::string latency_json(const LatencyReport& report);

}  // namespace huntd::huntctl
