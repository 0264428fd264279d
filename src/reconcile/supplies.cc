// SPDX-License-Identifier: Apache-2.0
#include "reconcile/supplies.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace huntd::reconcile {
namespace {

std::string joined(std::string_view hunt_id, std::string_view loot_id) {
  std::string name;
  name.append(hunt_id).append(":").append(loot_id);
  return name;
}

Difference difference(const char* kind, const SupplySnapshot& supply, std::string detail) {
  return {.kind = kind, .hunter_id = "", .hunt_id = supply.hunt_id, .detail = std::move(detail)};
}

bool has_event(const std::vector<IdentifiedEvent>& events, const EventId& event_id) {
  auto const at = std::lower_bound(
      events.begin(), events.end(), event_id,
      [](const IdentifiedEvent& event, const EventId& id) { return event.event_id < id; });
  return at != events.end() && at->event_id == event_id;
}

}  // namespace

uint32_t Supplies::index_of(std::string_view hunt_id, std::string_view loot_id) {
  auto const [at, is_new] =
      indexes_.emplace(joined(hunt_id, loot_id), static_cast<uint32_t>(all.size()));
  if (is_new) {
    SupplySnapshot& supply = all.emplace_back();
    supply.hunt_id = hunt_id;
    supply.loot_id = loot_id;
  }
  return at->second;
}

void Supplies::add_held(std::string_view hunt_id, std::string_view loot_id, uint64_t count) {
  if (all.empty()) return;
  if (auto const at = indexes_.find(joined(hunt_id, loot_id)); at != indexes_.end())
    all[at->second].held += count;
}

void Supplies::add_taken(std::string_view hunt_id, uint64_t units) {
  if (units == 0) return;
  auto at = taken_away_.find(hunt_id);
  if (at == taken_away_.end()) at = taken_away_.emplace(hunt_id, 0).first;
  at->second += units;
}

uint64_t Supplies::taken_away(std::string_view hunt_id) const {
  auto const at = taken_away_.find(hunt_id);
  return at == taken_away_.end() ? 0 : at->second;
}

void Supplies::check(bool hunters_deleted, Findings& findings) const {
  std::vector<const SupplySnapshot*> sorted;
  for (const SupplySnapshot& supply : all) sorted.push_back(&supply);
  std::sort(sorted.begin(), sorted.end(), [](const SupplySnapshot* a, const SupplySnapshot* b) {
    return std::tie(a->hunt_id, a->loot_id) < std::tie(b->hunt_id, b->loot_id);
  });
  for (const SupplySnapshot* supply : sorted) {
    findings.totals().supplies += 1;
    findings.totals().supply_pending += supply->pending;
    if (supply->is_over(taken_away(supply->hunt_id)) && !hunters_deleted)
      findings.add(
          difference("supply_over", *supply,
                     fmt::format("{} units of {} are recorded as given, hunters hold {}",
                                 supply->given + supply->before, supply->loot_id, supply->held)));
    if (supply->is_lost())
      findings.add(difference("supply_lost", *supply,
                              fmt::format("the table has counted {} units of {}, Redis knows {}; "
                                          "huntctl restore corrects it",
                                          supply->counted, supply->loot_id, supply->taken())));
  }
}

void count_units(std::vector<SupplyUnit> units, const std::vector<IdentifiedEvent>* events,
                 Supplies& supplies, Findings& findings) {
  std::sort(units.begin(), units.end(), [](const SupplyUnit& a, const SupplyUnit& b) {
    return std::tie(a.supply, a.event_id, a.malformed, a.pending) <
           std::tie(b.supply, b.event_id, b.malformed, b.pending);
  });
  const SupplyUnit* last = nullptr;
  for (const SupplyUnit& unit : units) {
    bool const is_known = last != nullptr && last->supply == unit.supply &&
                          last->event_id == unit.event_id && last->malformed == unit.malformed;
    last = &unit;
    if (is_known) continue;  // a unit that was settled while the pages were read: given is first
    SupplySnapshot& supply = supplies.all[unit.supply];
    (unit.pending ? supply.pending : supply.given) += 1;
    if (unit.pending || events == nullptr) continue;
    if (unit.malformed.empty() && has_event(*events, unit.event_id)) continue;
    findings.add(
        difference("supply_event", supply,
                   fmt::format("a unit of {} is recorded as given by event {}, which does not "
                               "exist",
                               supply.loot_id,
                               unit.malformed.empty() ? unit.event_id.text() : unit.malformed)));
  }
}

}  // namespace huntd::reconcile
