// SPDX-License-Identifier: Apache-2.0
// /metrics: the Prometheus text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "metrics/process_figures.h"
#include "metrics/shared_region.h"

namespace huntd {

// The upper bounds of the buckets of huntd_stage_duration_seconds, in ns.
inline constexpr std::array<uint64_t, 19> prometheus_bounds_ns = {
    10'000,        25'000,        50'000,        100'000,       250'000,
    500'000,       1'000'000,     2'500'000,     5'000'000,     10'000'000,
    25'000'000,    50'000'000,    100'000'000,   250'000'000,   500'000'000,
    1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000};

// Those of huntd_hunt_duration_seconds, each a bound of HuntDurationLayout. Fewer, because each hunt
// has them.
inline constexpr std::array<uint64_t, 11> hunt_bounds_ns = {
    250'000,    1'000'000,   2'500'000,   5'000'000,     10'000'000,   25'000'000,
    50'000'000, 100'000'000, 250'000'000, 1'000'000'000, 5'000'000'000};

// Every metric of every core. `processes` has one entry per core; it is empty if the core has no
// process.
std::string write_prometheus(const MetricsSnapshot& snapshot,
                             const std::vector<std::optional<ProcessFigures>>& processes);

// One metric of huntd, for references.
struct MetricDescription {
  std::string name;
  std::string type;    // "counter", "gauge" or "histogram"
  std::string labels;  // beside `core`: names, or NAME="A|B" if the values are fixed; ", " between
  std::string help;
};
// Every metric that write_prometheus() writes, in its order.
std::vector<MetricDescription> describe_metrics();

}  // namespace huntd
