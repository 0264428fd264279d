// SPDX-License-Identifier: Apache-2.0
#include "huntctl/status_report.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <utility>

#include "huntctl/json_response.h"

namespace huntd::huntctl {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

// The sum of `metric` over the values of its labels.
template <class Named>
typename Named::mapped_type sum_of(const Named& numbers, std::string_view metric) {
  typename Named::mapped_type sum = 0;
  for (auto at = numbers.lower_bound(metric); at != numbers.end() && at->first.starts_with(metric);
       ++at)
    if (at->first.size() == metric.size() || at->first[metric.size()] == '{') sum += at->second;
  return sum;
}

Numbers read_numbers(const element& members) {
  Numbers numbers;
  for (auto const& [name, n] : object(members)) numbers[std::string(name)] = uint64_t(n);
  return numbers;
}

CoreStatus read_core(const element& core) {
  CoreStatus status;
  status.core = uint64_t(core["core"]);
  status.state = std::string_view(core["state"]);
  status.pid = uint64_t(core["pid"]);
  status.cpu = uint64_t(core["cpu"]);
  status.started_at_ms = int64_t(core["started_at_ms"]);
  status.restarts = uint64_t(core["restarts"]);
  status.bundle = std::string_view(core["bundle"]);
  status.redis_server = std::string_view(core["redis"]["server"]);
  status.redis_address = std::string_view(core["redis"]["address"]);
  status.redis_reason = std::string_view(core["redis"]["reason"]);
  status.kafka_reason = std::string_view(core["kafka"]["reason"]);
  status.counters = read_numbers(core["counters"]);
  status.gauges = read_numbers(core["gauges"]);
  return status;
}

// The counters of the same core in `before`; none if it is not there.
const Numbers& counters_before(const Status& before, uint64_t core) {
  static const Numbers none;
  auto const same = std::find_if(before.cores.begin(), before.cores.end(),
                                 [core](const CoreStatus& other) { return other.core == core; });
  return same == before.cores.end() ? none : same->counters;
}

Rates rates_between(const Numbers& before, const Numbers& now, double seconds) {
  Rates rates;
  for (const auto& [name, n] : now) {
    auto const earlier = before.find(name);
    // A counter that has become smaller has started again.
    uint64_t const base = earlier == before.end() || earlier->second > n ? 0 : earlier->second;
    rates[name] = static_cast<double>(n - base) / seconds;
  }
  return rates;
}

}  // namespace

uint64_t CoreStatus::gauge(std::string_view name) const {
  auto const found = gauges.find(name);
  return found == gauges.end() ? 0 : found->second;
}

uint64_t CoreStatus::hunts() const { return sum_of(counters, "huntd_hunts_total"); }

Result<Status> read_status(std::string_view json) {
  return parse_response(json, "status.json", [](element document) -> Result<Status> {
    Status status;
    status.version = std::string_view(document["version"]);
    status.started_at_ms = int64_t(document["started_at_ms"]);
    status.taken_at_ms = int64_t(document["taken_at_ms"]);
    status.pid = uint64_t(document["pid"]);
    element const reload = document["reload"];
    status.reload = {uint64_t(reload["started"]) > uint64_t(reload["finished"]),
                     uint64_t(reload["finished"]) == 0,
                     std::string(std::string_view(reload["result"])),
                     int64_t(reload["at_ms"]),
                     std::string(std::string_view(reload["error"])),
                     std::string(std::string_view(reload["progress"])),
                     bool(reload["serves_saved"]),
                     texts_of(reload, "waiting_keys"),
                     text_of(reload, "save_error")};
    for (element const core : array(document["cores"])) status.cores.push_back(read_core(core));
    return status;
  });
}

namespace {

// "TEXT of core 0, 1: REASON" for each reason that one of the cores has.
std::vector<std::string> by_reason(const Status& now, std::string_view text,
                                   std::string (*reason_of)(const CoreStatus& core)) {
  std::map<std::string, std::string> cores;  // by reason
  for (const CoreStatus& core : now.cores) {
    std::string const reason = reason_of(core);
    if (reason.empty()) continue;
    std::string& names = cores[reason];
    names += fmt::format("{}{}", names.empty() ? "" : ", ", core.core);
  }
  std::vector<std::string> found;
  for (const auto& [reason, names] : cores)
    found.push_back(fmt::format("{} of core {}: {}", text, names, reason));
  return found;
}

}  // namespace

std::vector<std::string> degradations(const Status& now) {
  std::vector<std::string> found = by_reason(
      now, "Kafka takes no events", [](const CoreStatus& core) { return core.kafka_reason; });
  uint64_t waiting = 0;
  for (const CoreStatus& core : now.cores) waiting += core.gauge("huntd_outbox_pending");
  if (!found.empty())
    found.push_back(fmt::format(
        "no loot is lost: events wait in the outbox until Kafka takes them (at the last count {})",
        waiting));
  if (!now.reload.save_error.empty())
    found.push_back("the scripts in use are not saved for a later start: " + now.reload.save_error);
  // The core is ready: some nodes of a cluster can be used.
  std::vector<std::string> nodes =
      by_reason(now, "a part of the hunters gets 503, of Redis", [](const CoreStatus& core) {
        return core.gauge("huntd_redis_up") == 1 ? core.redis_reason : std::string();
      });
  found.insert(found.end(), nodes.begin(), nodes.end());
  return found;
}

Activity activity_between(const Status& before, const Status& now) {
  bool const restarted = before.started_at_ms != now.started_at_ms;
  int64_t const from_ms = restarted ? now.started_at_ms : before.taken_at_ms;
  Activity activity;
  // The clock of the host may have been set back.
  if (now.taken_at_ms <= from_ms) return activity;
  activity.seconds = static_cast<double>(now.taken_at_ms - from_ms) / 1e3;
  static const Numbers none;
  for (const CoreStatus& core : now.cores) {
    const Numbers& base = restarted ? none : counters_before(before, core.core);
    Rates rates = rates_between(base, core.counters, activity.seconds);
    for (const auto& [name, rate] : rates) activity.all[name] += rate;
    activity.cores.push_back(std::move(rates));
  }
  return activity;
}

double rate_of(const Rates& rates, std::string_view metric) { return sum_of(rates, metric); }

}  // namespace huntd::huntctl
