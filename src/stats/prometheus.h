// /metrics: the Prometheus text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "stats/process_figures.h"
#include "stats/shared_region.h"

namespace huntd {

// The upper bounds of huntd_stage_duration_seconds' buckets, in ns.
inline constexpr std::array<uint64_t, 19> prometheus_bounds_ns = {
    10'000,        25'000,        50'000,        100'000,       250'000,
    500'000,       1'000'000,     2'500'000,     5'000'000,     10'000'000,
    25'000'000,    50'000'000,    100'000'000,   250'000'000,   500'000'000,
    1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000};

// Every metric of every core. `processes` holds one entry per core, empty for a core that has no
// process.
std::string write_prometheus(const StatsSnapshot& snapshot,
                             const std::vector<std::optional<ProcessFigures>>& processes);

}  // namespace huntd
