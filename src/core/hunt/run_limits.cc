// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/run_limits.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/format_text.h"
#include "base/hash.h"

namespace huntd::server {
namespace {

// So many runs in a row that exceed their deadlines are the script's doing.
constexpr uint32_t endless_runs = 4;
// Until one of them does not yield; twice as long after each. Such a run holds up all others for its
// deadline.
constexpr uint64_t probe_wait_ns = 5 * ns_per_s;
constexpr uint64_t probe_wait_max_ns = 320 * ns_per_s;

}  // namespace

RunWindows::Window RunWindows::window(uint64_t key, uint64_t now_ns) const {
  for (const auto* const generation : {&newer_, &older_}) {
    auto const found = generation->find(key);
    if (found == generation->end()) continue;
    bool const over = now_ns - found->second.begin_ns >= window_ns_;
    return over ? Window{now_ns, 0} : found->second;
  }
  return {now_ns, 0};
}

uint64_t RunWindows::wait_ns(uint64_t key, uint32_t limit, uint64_t now_ns) const {
  Window const now = window(key, now_ns);
  return now.runs < limit ? 0 : now.begin_ns + window_ns_ - now_ns;
}

void RunWindows::count(uint64_t key, uint64_t now_ns) {
  Window now = window(key, now_ns);
  ++now.runs;
  if (newer_.size() >= generation_max_ && !newer_.contains(key)) {
    older_ = std::move(newer_);
    newer_.clear();
  }
  newer_[key] = now;
}

uint64_t RunLimits::key_of(std::string_view hunt_id, std::string_view hunter_id) const {
  return hash64(format_text("{:016x}{}/{}", secret_, hunt_id, hunter_id));
}

RunLimits::Wait RunLimits::wait(const RunRules& rules, std::string_view hunt_id,
                                std::string_view hunter_id, uint64_t now_ns) const {
  if (rules.per_hour == 0 && rules.per_day == 0) return {};
  uint64_t const key = key_of(hunt_id, hunter_id);
  uint64_t const day_ns = rules.per_day == 0 ? 0 : days_.wait_ns(key, rules.per_day, now_ns);
  if (day_ns > 0) return {day_ns, "per_day"};
  uint64_t const hour_ns = rules.per_hour == 0 ? 0 : hours_.wait_ns(key, rules.per_hour, now_ns);
  return {hour_ns, "per_hour"};
}

void RunLimits::count(const RunRules& rules, std::string_view hunt_id, std::string_view hunter_id,
                      uint64_t now_ns) {
  if (rules.per_hour == 0 && rules.per_day == 0) return;
  uint64_t const key = key_of(hunt_id, hunter_id);
  if (rules.per_hour != 0) hours_.count(key, now_ns);
  if (rules.per_day != 0) days_.count(key, now_ns);
}

bool RunLimits::must_yield(std::string_view hunt_id, uint64_t now_ns) {
  auto const found = endless_.find(PoolString(hunt_id));
  if (found == endless_.end() || found->second.in_a_row < endless_runs) return false;
  Endless& endless = found->second;
  bool const probes = endless.next_probe_ns != 0 && now_ns >= endless.next_probe_ns;
  if (endless.next_probe_ns == 0 || probes) {
    endless.wait_ns = probes ? std::min(2 * endless.wait_ns, probe_wait_max_ns) : probe_wait_ns;
    endless.next_probe_ns = now_ns + endless.wait_ns;
  }
  return !probes;
}

void RunLimits::note_end(std::string_view bundle, std::string_view hunt_id, bool at_deadline) {
  if (bundle != bundle_) return;
  if (at_deadline)
    ++endless_[PoolString(hunt_id)].in_a_row;
  else if (!endless_.empty())
    endless_.erase(PoolString(hunt_id));
}

void RunLimits::use(std::string_view bundle) {
  if (bundle == bundle_) return;
  bundle_ = bundle;
  endless_.clear();
}

RunLimits::InFlight::InFlight(RunLimits& limits, const RunRules& rules, std::string_view hunt_id)
    : limits_(limits) {
  if (rules.in_flight_max == 0) return;
  uint32_t& running = limits_.in_flight_[PoolString(hunt_id)];
  admitted_ = running < rules.in_flight_max;
  if (!admitted_) return;
  ++running;
  hunt_id_ = hunt_id;
}

RunLimits::InFlight::~InFlight() {
  if (hunt_id_.empty()) return;
  auto const found = limits_.in_flight_.find(hunt_id_);
  CHECK(found != limits_.in_flight_.end());
  if (--found->second == 0) limits_.in_flight_.erase(found);
}

}  // namespace huntd::server
