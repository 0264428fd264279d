// SPDX-License-Identifier: Apache-2.0
#include "huntd/admin/health.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/json_text.h"
#include "huntd/admin/admin_limits.h"
#include "metrics/start_failure.h"

namespace huntd::server {
namespace {

struct Reason {
  std::optional<uint32_t> core;  // none: the parent
  std::string text;
};

HealthReport report_of(std::string_view key, const std::vector<Reason>& reasons) {
  HealthReport report;
  report.good = reasons.empty();
  report.json = fmt::format(R"({{"{}":{},"reasons":[)", key, report.good);
  for (const Reason& reason : reasons) {
    if (&reason != reasons.data()) report.json += ',';
    report.json += reason.core ? fmt::format(R"({{"core":{},"reason":)", *reason.core)
                               : R"({"core":null,"reason":)";
    append_json_string(report.json, reason.text);
    report.json += '}';
    report.text += (report.text.empty() ? "" : "; ") + reason.text;
  }
  report.json += "]}\n";
  return report;
}

// Nothing if the core's loop runs, or has not started.
std::optional<std::string> stall_of(const CoreSnapshot& core, uint64_t now_ns) {
  uint64_t const age_ms = heartbeat_age_ns(core, now_ns) / ns_per_ms;
  if (core.state == CoreState::down || core.heartbeat_ns == 0 ||
      age_ms <= limits::heartbeat_age_max_ms)
    return std::nullopt;
  return fmt::format("core {} completed its last tick {} ms ago", core.core, age_ms);
}

// Of a core that is not ready: its state, and how its last process ended.
std::string state_text(const CoreSnapshot& core) {
  std::string text =
      fmt::format("core {} is {}", core.core, core_state_names[static_cast<size_t>(core.state)]);
  bool const again = core.state == CoreState::down || core.state == CoreState::starting;
  if (again && !core.last_end.empty()) text += "; its last process ended: " + core.last_end;
  return text;
}

std::string redis_text(const CoreSnapshot& core) {
  bool const named = core.redis_reason.find(core.redis_address) != std::string::npos;
  std::string const at = core.redis_address.empty() || named ? "" : " at " + core.redis_address;
  if (core.redis_reason.empty())
    return fmt::format("core {} has no connection to Redis{}", core.core, at);
  return fmt::format("core {} can't use Redis{}: {}", core.core, at, core.redis_reason);
}

}  // namespace

HealthReport check_live(const MetricsSnapshot& snapshot) {
  std::vector<Reason> reasons;
  // Before its first beat the parent starts.
  uint64_t const beat_ns = snapshot.parent_heartbeat_ns;
  uint64_t const parent_age_ms = beat_ns != 0 && snapshot.taken_at_ns > beat_ns
                                     ? (snapshot.taken_at_ns - beat_ns) / ns_per_ms
                                     : 0;
  if (parent_age_ms > limits::live_parent_age_max_ms)
    reasons.push_back(
        {std::nullopt, fmt::format("the parent's loop last ran {} ms ago", parent_age_ms)});
  for (const CoreSnapshot& core : snapshot.cores) {
    uint64_t const age_ms = heartbeat_age_ns(core, snapshot.taken_at_ns) / ns_per_ms;
    if (core.state != CoreState::down && core.heartbeat_ns != 0 &&
        age_ms > limits::live_core_age_max_ms)
      reasons.push_back(
          {core.core, fmt::format("core {} completed its last tick {} ms ago", core.core, age_ms)});
  }
  return report_of("live", reasons);
}

HealthReport check_health(const MetricsSnapshot& snapshot) {
  std::vector<Reason> reasons;
  for (const CoreSnapshot& core : snapshot.cores) {
    if (core.state == CoreState::down)
      reasons.push_back({core.core, fmt::format("core {} has no process", core.core)});
    else if (core.heartbeat_ns == 0)
      reasons.push_back(
          {core.core, fmt::format("core {} has not completed a tick yet", core.core)});
    else if (std::optional<std::string> stall = stall_of(core, snapshot.taken_at_ns))
      reasons.push_back({core.core, std::move(*stall)});
  }
  return report_of("healthy", reasons);
}

HealthReport check_ready(const MetricsSnapshot& snapshot) {
  std::vector<Reason> reasons;
  if (snapshot.host_state == HostState::stopping)
    reasons.push_back({std::nullopt, "draining: huntd is stopping"});
  if (snapshot.host_state == HostState::drained)
    reasons.push_back({std::nullopt, "draining: by the operator; huntctl undrain ends it"});
  for (const CoreSnapshot& core : snapshot.cores) {
    if (core.state != CoreState::ready) reasons.push_back({core.core, state_text(core)});
    if (std::optional<std::string> stall = stall_of(core, snapshot.taken_at_ns))
      reasons.push_back({core.core, std::move(*stall)});
    if (core.value(Gauge::draining) != 0 && core.state != CoreState::draining)
      reasons.push_back({core.core, fmt::format("core {} is draining", core.core)});
    if (uint64_t const failure = core.value(Gauge::worker_start_failure); failure != 0)
      reasons.push_back({core.core, fmt::format("core {} cannot start workers: {}", core.core,
                                                start_failure_text(failure))});
    if (core.state != CoreState::down && core.value(Gauge::redis_up) == 0)
      reasons.push_back({core.core, redis_text(core)});
  }
  return report_of("ready", reasons);
}

}  // namespace huntd::server
