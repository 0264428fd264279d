// SPDX-License-Identifier: Apache-2.0
#include "metrics/metrics_json.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <iterator>
#include <string_view>
#include <vector>

#include "base/json_text.h"

namespace huntd {
namespace {

double microseconds(double ns) { return ns / 1e3; }
double microseconds(uint64_t ns) { return microseconds(static_cast<double>(ns)); }

// The upper bounds of "distribution": ten to a decade from 1 µs, until every value has its place.
std::vector<uint64_t> distribution_bounds_ns() {
  std::vector<uint64_t> bounds_ns;
  for (int step = 0; bounds_ns.empty() || bounds_ns.back() < HistogramLayout::highest_ns; ++step)
    bounds_ns.push_back(static_cast<uint64_t>(std::llround(1e3 * std::pow(10.0, step / 10.0))));
  return bounds_ns;
}

void append_distribution(std::string& json, const HistogramSnapshot& values) {
  static const std::vector<uint64_t> bounds_ns = distribution_bounds_ns();
  uint64_t passed = 0;
  bool first = true;
  json += '[';
  for (uint64_t const bound_ns : bounds_ns) {
    if (passed == values.count()) break;
    uint64_t const up_to = values.count_up_to(bound_ns);
    if (up_to != passed)
      fmt::format_to(std::back_inserter(json), "{}[{:.3f},{}]", first ? "" : ",",
                     microseconds(bound_ns), up_to - passed);
    first = first && up_to == passed;
    passed = up_to;
  }
  json += ']';
}

void append_stages(std::string& json,
                   const std::array<HistogramSnapshot, stage_names.size()>& stages) {
  json += '{';
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    const HistogramSnapshot& values = stages[stage];
    fmt::format_to(
        std::back_inserter(json),
        R"({}"{}":{{"count":{},"mean_us":{:.3f},"p50_us":{:.3f},"p90_us":{:.3f},"p99_us":{:.3f},)"
        R"("p99_9_us":{:.3f},"max_us":{:.3f},"distribution":)",
        stage == 0 ? "" : ",", stage_names[stage], values.count(), microseconds(values.mean_ns()),
        microseconds(values.percentile_ns(50)), microseconds(values.percentile_ns(90)),
        microseconds(values.percentile_ns(99)), microseconds(values.percentile_ns(99.9)),
        microseconds(values.max_ns()));
    append_distribution(json, values);
    json += '}';
  }
  json += '}';
}

void append_head(std::string& json, const MetricsSnapshot& snapshot) {
  json += R"({"version":)";
  append_json_string(json, snapshot.version);
  fmt::format_to(std::back_inserter(json), R"(,"started_at_ms":{},"taken_at_ms":{})",
                 snapshot.started_at_ms, snapshot.taken_at_ms);
}

// The parent, and the newest reload.
void append_parent(std::string& json, const MetricsSnapshot& snapshot) {
  const ReloadStatus& reload = snapshot.reload;
  fmt::format_to(
      std::back_inserter(json),
      R"(,"pid":{},"start_ticks":{},"host":"{}","reload":{{"started":{},"finished":{},)"
      R"("result":"{}","at_ms":{},"applied":{},"rejected":{},"serves_saved":{},"bundle":)",
      snapshot.parent_pid, snapshot.parent_start_ticks,
      host_state_names[static_cast<size_t>(snapshot.host_state)], reload.started, reload.finished,
      reload_result_names[static_cast<size_t>(reload.result)], reload.at_ms, reload.applied,
      reload.rejected, reload.serves_saved);
  append_json_string(json, reload.bundle);
  json += R"(,"waiting_keys":)" + json_array(reload.waiting_keys) + R"(,"error":)";
  append_json_string(json, reload.error);
  json += R"(,"progress":)";
  append_json_string(json, snapshot.reload_progress);
  json += R"(,"save_error":)";
  append_json_string(json, snapshot.save_error);
  json += '}';
}

void append_text(std::string& json, std::string_view before, std::string_view text) {
  json += before;
  append_json_string(json, text);
}

// {"metric{label}": number, ...}: the names that /metrics has, without the core.
template <class Rows>
void append_numbers(std::string& json, const CoreSnapshot& core, const Rows& rows) {
  char before = '{';
  for (const auto& row : rows) {
    json += before;
    before = ',';
    append_json_string(json, row.label.empty() ? std::string(row.metric)
                                               : fmt::format("{}{{{}}}", row.metric, row.label));
    fmt::format_to(std::back_inserter(json), ":{}", core.value(row.which));
  }
  json += '}';
}

}  // namespace

std::string write_latency_json(const MetricsSnapshot& snapshot) {
  std::string json;
  append_head(json, snapshot);
  json += R"(,"cores":[)";
  std::array<HistogramSnapshot, stage_names.size()> all;
  for (const CoreSnapshot& core : snapshot.cores) {
    fmt::format_to(std::back_inserter(json), R"({}{{"core":{},"stages":)",
                   &core == snapshot.cores.data() ? "" : ",", core.core);
    append_stages(json, core.stages);
    json += '}';
    for (size_t stage = 0; stage < all.size(); ++stage) all[stage].merge(core.stages[stage]);
  }
  json += R"(],"all":{"stages":)";
  append_stages(json, all);
  json += "}}\n";
  return json;
}

std::string write_status_json(const MetricsSnapshot& snapshot) {
  std::string json;
  append_head(json, snapshot);
  append_parent(json, snapshot);
  json += R"(,"cores":[)";
  for (const CoreSnapshot& core : snapshot.cores) {
    fmt::format_to(
        std::back_inserter(json),
        R"({}{{"core":{},"state":"{}","pid":{},"cpu":{},"started_at_ms":{},"restarts":{},"heartbeat_age_ms":)",
        &core == snapshot.cores.data() ? "" : ",", core.core,
        core_state_names[static_cast<size_t>(core.state)], core.pid, core.cpu, core.started_at_ms,
        core.restarts);
    // null until the loop has turned for the first time.
    json += core.heartbeat_ns == 0
                ? "null"
                : fmt::format("{}", heartbeat_age_ns(core, snapshot.taken_at_ns) / 1'000'000);
    append_text(json, R"(,"last_end":)", core.last_end);
    append_text(json, R"(,"bundle":)", core.bundle);
    append_text(json, R"(,"redis":{"server":)", core.redis_server);
    append_text(json, R"(,"address":)", core.redis_address);
    append_text(json, R"(,"reason":)", core.redis_reason);
    append_text(json, R"(},"kafka":{"address":)", core.kafka_address);
    append_text(json, R"(,"reason":)", core.kafka_reason);
    json += '}';
    json += R"(,"counters":)";
    append_numbers(json, core, counter_rows);
    json += R"(,"gauges":)";
    append_numbers(json, core, gauge_rows);
    json += '}';
  }
  json += "]}\n";
  return json;
}

}  // namespace huntd
