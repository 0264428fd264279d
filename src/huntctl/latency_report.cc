// SPDX-License-Identifier: Apache-2.0
#include "huntctl/latency_report.h"

#include <fmt/format.h>
#include <simdjson.h>

#include "huntctl/json_response.h"

namespace huntd::huntctl {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

StageLatency read_stage(std::string_view name, const element& figures) {
  StageLatency stage;
  stage.stage = name;
  stage.count = uint64_t(figures["count"]);
  stage.mean_us = double(figures["mean_us"]);
  stage.p50_us = double(figures["p50_us"]);
  stage.p90_us = double(figures["p90_us"]);
  stage.p99_us = double(figures["p99_us"]);
  stage.p99_9_us = double(figures["p99_9_us"]);
  stage.max_us = double(figures["max_us"]);
  for (element const cell : array(figures["distribution"]))
    stage.distribution.emplace_back(double(cell.at(0)), uint64_t(cell.at(1)));
  return stage;
}

CoreLatency read_core(std::string name, const element& core) {
  CoreLatency latency;
  latency.name = std::move(name);
  for (auto const& [stage, figures] : object(core["stages"]))
    latency.stages.push_back(read_stage(stage, figures));
  return latency;
}

}  // namespace

Result<LatencyReport> read_latency_report(std::string_view json) {
  return parse_response(json, "latency.json", [](element document) -> Result<LatencyReport> {
    LatencyReport report;
    report.version = std::string_view(document["version"]);
    report.started_at_ms = int64_t(document["started_at_ms"]);
    report.taken_at_ms = int64_t(document["taken_at_ms"]);
    for (element const core : array(document["cores"])) {
      uint64_t const number = uint64_t(core["core"]);
      report.cores.push_back(read_core(fmt::format("core {}", number), core));
      report.cores.back().core = number;
    }
    report.all = read_core("all cores", document["all"]);
    return report;
  });
}

}  // namespace huntd::huntctl
