// SPDX-License-Identifier: Apache-2.0
// Draws the latency histograms as a picture, for documents.
#pragma once
#include <string>

#include "huntctl/latency_report.h"

namespace huntd::huntctl {

// Returns a self-contained SVG. Each stage has one histogram per core on a logarithmic axis, or one
// for the sum of the cores if there are more than `svg_cores_max`. p50, p99 and p99.9 are drawn and
// written.
std::string latency_svg(const LatencyReport& report);
inline constexpr size_t svg_cores_max = 4;

}  // namespace huntd::huntctl
