// SPDX-License-Identifier: Apache-2.0
// Formats the latency tables for a terminal or a pipe.
#pragma once
#include <string>

#include "huntctl/latency_report.h"

namespace huntd::huntctl {

// Returns one table per core, and one for their sum if there are several. A table has one row per
// stage, with percentiles and a bar chart of the distribution on a logarithmic axis from 1 µs to 10
// s. With `colour`, the bars are green up to the median, yellow up to p99 and red above it (ECMA-48
// colour codes).
std::string latency_text(const LatencyReport& report, bool colour);

}  // namespace huntd::huntctl
