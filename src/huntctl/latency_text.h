// The latency tables for a terminal or a pipe.
#pragma once
#include <string>

#include "huntctl/latency_report.h"

namespace huntd::huntctl {

// One table per core and, where there are several cores, one for all: a row a stage, with its
// percentiles and a bar chart of its distribution on a logarithmic axis from 1 µs to 10 s. With
// `colour`, the bars are green up to the median, yellow up to p99 and red past it (ECMA-48 colour
// codes).
std::string latency_text(const LatencyReport& report, bool colour);

}  // namespace huntd::huntctl
