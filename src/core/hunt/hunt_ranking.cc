// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/hunt_ranking.h"

#include <algorithm>

namespace huntd::server {
namespace {

// A hunt takes another one's slot if it has more than twice its heat and this much more: otherwise
// two of about the same rate would take it from each other again and again.
constexpr uint64_t heat_margin = 10;

}  // namespace

HuntRanking::HuntRanking(HuntTable& table) : table_(table) {
  table_.repair();
  for (size_t slot = 0; slot < table_.used(); ++slot)
    places_.emplace(table_.hunt_of(slot), Place{.slot = slot});
}

void HuntRanking::use(const std::vector<BundledHunt>& hunts) {
  Places next;
  next.reserve(hunts.size() + HuntTable::slots);
  for (const BundledHunt& hunt : hunts) {
    auto const before = places_.find(hunt.hunt_id);
    Place place = before == places_.end() ? Place() : before->second;
    place.in_bundle = true;
    next.emplace(hunt.hunt_id, place);
  }
  for (const auto& [hunt_id, place] : places_)
    if (place.slot != none) next.emplace(hunt_id, Place{.slot = place.slot});
  places_ = std::move(next);
}

// The row that counts a request, which makes its hunt hotter.
size_t HuntRanking::row_of(std::string_view hunt_id) {
  auto const found = places_.find(hunt_id);
  if (found == places_.end()) return HuntTable::other;
  Place& place = found->second;
  if (place.in_bundle) ++place.heat;
  if (place.slot == none && table_.used() < HuntTable::slots) {
    place.slot = table_.used();
    table_.assign(place.slot, hunt_id);
  }
  return place.slot == none ? HuntTable::other : place.slot;
}

void HuntRanking::count(std::string_view hunt_id, HuntOutcome outcome,
                        std::optional<uint64_t> duration_ns) {
  size_t const row = row_of(hunt_id);
  table_.count(row, outcome);
  if (duration_ns) table_.record(row, *duration_ns);
}

void HuntRanking::rank() {
  if (table_.used() == HuntTable::slots && places_.size() > HuntTable::slots) replace_coldest();
  for (auto& [hunt_id, place] : places_) place.heat = place.heat * 7 / 8;
}

void HuntRanking::replace_coldest() {
  using Entry = Places::value_type;
  std::vector<Entry*> counted;
  std::vector<Entry*> waiting;
  for (Entry& entry : places_) {
    bool const has_slot = entry.second.slot != none;
    if (has_slot || entry.second.heat > heat_margin)
      (has_slot ? counted : waiting).push_back(&entry);
  }
  auto const colder = [](const Entry* a, const Entry* b) {
    return a->second.heat < b->second.heat;
  };
  std::sort(counted.begin(), counted.end(), colder);
  std::sort(waiting.rbegin(), waiting.rend(), colder);
  size_t const most = std::min({counted.size(), waiting.size(), limits::hunt_replacements_max});
  for (size_t i = 0; i < most; ++i) {
    Place& cold = counted[i]->second;
    Place& hot = waiting[i]->second;
    if (hot.heat <= 2 * cold.heat + heat_margin) break;
    hot.slot = std::exchange(cold.slot, none);
    table_.assign(hot.slot, waiting[i]->first);
  }
}

}  // namespace huntd::server
