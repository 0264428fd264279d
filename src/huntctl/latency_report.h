// SPDX-License-Identifier: Apache-2.0
// The content of /latency.json (docs/formats/admin-json.md).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace huntd::huntctl {

struct StageLatency {
  std::string stage;
  uint64_t count = 0;
  double mean_us = 0;
  double p50_us = 0;
  double p90_us = 0;
  double p99_us = 0;
  double p99_9_us = 0;
  double max_us = 0;
  // Upper bounds (ten per decade), each with the number of values above the previous bound and up
  // to this one. Bounds without values are left out.
  std::vector<std::pair<double, uint64_t>> distribution;
};

struct CoreLatency {
  uint64_t core = 0;  // not of the sum
  std::string name;   // "core 0", or "all cores" for the sum
  std::vector<StageLatency> stages;
};

struct LatencyReport {
  std::string version;
  int64_t started_at_ms = 0;
  int64_t taken_at_ms = 0;
  int64_t from_ms = 0;  // the start of the interval that it covers; 0: since huntd started
  std::vector<CoreLatency> cores;
  CoreLatency all;
};

// The error says whether a member is missing or has another type.
Result<LatencyReport> read_latency_report(std::string_view json);

}  // namespace huntd::huntctl
