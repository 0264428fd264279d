// The latency histograms as a picture for documents.
#pragma once
#include <string>

#include "huntctl/latency_report.h"

namespace huntd::huntctl {

// A self-contained SVG: a row a stage, in it a histogram per core (all cores as one, where there
// are more than `svg_cores_max`) on a logarithmic axis, with p50, p99 and p99.9 marked and written.
std::string latency_svg(const LatencyReport& report);
inline constexpr size_t svg_cores_max = 4;

}  // namespace huntd::huntctl
