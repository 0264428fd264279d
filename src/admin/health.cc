#include "admin/health.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "admin/admin_limits.h"
#include "base/json_text.h"

namespace huntd {
namespace {

struct Reason {
  uint32_t core;
  std::string text;
};

HealthAnswer answer(std::string_view key, const std::vector<Reason>& reasons) {
  HealthAnswer answer;
  answer.good = reasons.empty();
  answer.json = fmt::format(R"({{"{}":{},"reasons":[)", key, answer.good);
  for (const Reason& reason : reasons) {
    if (&reason != reasons.data()) answer.json += ',';
    answer.json += fmt::format(R"({{"core":{},"reason":)", reason.core);
    append_json_string(answer.json, reason.text);
    answer.json += '}';
  }
  answer.json += "]}\n";
  return answer;
}

}  // namespace

HealthAnswer check_health(const StatsSnapshot& snapshot) {
  std::vector<Reason> reasons;
  for (const CoreSnapshot& core : snapshot.cores) {
    uint64_t const age_ms = heartbeat_age_ns(core, snapshot.taken_at_ns) / 1'000'000;
    if (core.state == CoreState::down)
      reasons.push_back({core.core, fmt::format("core {} has no process", core.core)});
    else if (core.heartbeat_ns == 0)
      reasons.push_back(
          {core.core, fmt::format("the loop of core {} has not turned yet", core.core)});
    else if (age_ms > limits::heartbeat_age_max_ms)
      reasons.push_back(
          {core.core, fmt::format("the loop of core {} last turned {} ms ago", core.core, age_ms)});
  }
  return answer("healthy", reasons);
}

HealthAnswer check_ready(const StatsSnapshot& snapshot) {
  std::vector<Reason> reasons;
  for (const CoreSnapshot& core : snapshot.cores) {
    if (core.state != CoreState::ready)
      reasons.push_back(
          {core.core, fmt::format("core {} is {}", core.core,
                                  core_state_names[static_cast<size_t>(core.state)])});
    if (core.value(Gauge::draining) != 0 && core.state != CoreState::draining)
      reasons.push_back({core.core, fmt::format("core {} is draining", core.core)});
    if (core.value(Gauge::redis_up) == 0)
      reasons.push_back({core.core, fmt::format("core {} has no connection to Redis", core.core)});
  }
  return answer("ready", reasons);
}

}  // namespace huntd
