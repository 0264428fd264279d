// SPDX-License-Identifier: Apache-2.0
#include "huntctl/latency_interval.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "huntctl/output.h"

namespace huntd::huntctl {
namespace {

using Distribution = std::vector<std::pair<double, uint64_t>>;

const double bound_ratio = std::pow(10.0, 0.1);  // ten bounds per decade
constexpr double lowest_bound_us = 1.0;          // its values are anything up to it

double lower_bound_us(double bound_us) {
  return bound_us <= lowest_bound_us ? 0 : bound_us / bound_ratio;
}

// The same bound is the same text in both reports, so it is the same double.
Distribution difference(const Distribution& before, const Distribution& now) {
  std::map<double, uint64_t> const earlier(before.begin(), before.end());
  Distribution left;
  for (auto const& [bound_us, n] : now) {
    auto const same = earlier.find(bound_us);
    uint64_t const base = same == earlier.end() ? 0 : std::min(same->second, n);
    if (n > base) left.emplace_back(bound_us, n - base);
  }
  return left;
}

// The value of the rank of `percent`, if the values of a cell are evenly spread on its logarithmic
// axis.
double percentile_us(const StageLatency& stage, double percent) {
  double const rank = std::max(1.0, std::ceil(static_cast<double>(stage.count) * percent / 100));
  double passed = 0;
  for (auto const& [bound_us, n] : stage.distribution) {
    double const in_cell = rank - passed;
    passed += static_cast<double>(n);
    if (passed < rank) continue;
    if (bound_us <= lowest_bound_us) return std::min(bound_us, stage.max_us);
    double const part = in_cell / static_cast<double>(n);
    return std::min(lower_bound_us(bound_us) * std::pow(bound_ratio, part), stage.max_us);
  }
  return stage.max_us;
}

double mean_us(const StageLatency& stage) {
  double sum = 0;
  for (auto const& [bound_us, n] : stage.distribution)
    sum += static_cast<double>(n) * (lower_bound_us(bound_us) + bound_us) / 2;
  return std::min(sum / static_cast<double>(stage.count), stage.max_us);
}

StageLatency stage_between(const StageLatency& before, const StageLatency& now) {
  StageLatency stage;
  stage.stage = now.stage;
  stage.distribution = difference(before.distribution, now.distribution);
  for (auto const& [bound_us, n] : stage.distribution) stage.count += n;
  if (stage.count == 0) return stage;
  stage.max_us = now.max_us;
  if (now.max_us <= before.max_us)
    stage.max_us = std::min(stage.distribution.back().first, now.max_us);
  stage.mean_us = mean_us(stage);
  stage.p50_us = percentile_us(stage, 50);
  stage.p90_us = percentile_us(stage, 90);
  stage.p99_us = percentile_us(stage, 99);
  stage.p99_9_us = percentile_us(stage, 99.9);
  return stage;
}

CoreLatency core_between(const CoreLatency& before, const CoreLatency& now) {
  CoreLatency core{now.core, now.name, {}};
  for (const StageLatency& stage : now.stages) {
    auto const same =
        std::find_if(before.stages.begin(), before.stages.end(),
                     [&](const StageLatency& other) { return other.stage == stage.stage; });
    core.stages.push_back(
        stage_between(same == before.stages.end() ? StageLatency() : *same, stage));
  }
  return core;
}

std::string stages_json(const CoreLatency& core) {
  std::string json = "{}";
  for (const StageLatency& stage : core.stages) {
    std::string distribution;
    for (auto const& [bound_us, n] : stage.distribution)
      fmt::format_to(std::back_inserter(distribution), "{}[{:.3f},{}]",
                     distribution.empty() ? "" : ",", bound_us, n);
    std::string figures = "{}";
    add_member(figures, "count", json_number(stage.count));
    for (auto const& [name, us] : {std::pair<const char*, double>{"mean_us", stage.mean_us},
                                   {"p50_us", stage.p50_us},
                                   {"p90_us", stage.p90_us},
                                   {"p99_us", stage.p99_us},
                                   {"p99_9_us", stage.p99_9_us},
                                   {"max_us", stage.max_us}})
      add_member(figures, name, fmt::format("{:.3f}", us));
    add_member(figures, "distribution", "[" + distribution + "]");
    add_member(json, stage.stage, figures);
  }
  return json;
}

}  // namespace

LatencyReport latency_between(const LatencyReport& before, const LatencyReport& now) {
  LatencyReport report = now;
  if (before.started_at_ms != now.started_at_ms) {
    report.from_ms = now.started_at_ms;
    return report;
  }
  report.from_ms = before.taken_at_ms;
  static const CoreLatency none;
  for (CoreLatency& core : report.cores) {
    auto const same =
        std::find_if(before.cores.begin(), before.cores.end(),
                     [&](const CoreLatency& other) { return other.core == core.core; });
    core = core_between(same == before.cores.end() ? none : *same, core);
  }
  report.all = core_between(before.all, now.all);
  return report;
}

std::string latency_json(const LatencyReport& report) {
  std::string cores;
  for (const CoreLatency& core : report.cores)
    cores += fmt::format(R"({}{{"core":{},"stages":{}}})", cores.empty() ? "" : ",", core.core,
                         stages_json(core));
  std::string json = "{}";
  add_member(json, "version", json_string(report.version));
  add_member(json, "started_at_ms", std::to_string(report.started_at_ms));
  add_member(json, "from_ms", std::to_string(report.from_ms));
  add_member(json, "taken_at_ms", std::to_string(report.taken_at_ms));
  add_member(json, "cores", "[" + cores + "]");
  add_member(json, "all", fmt::format(R"({{"stages":{}}})", stages_json(report.all)));
  return json;
}

}  // namespace huntd::huntctl
