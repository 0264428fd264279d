// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/pretend_ledger.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"
#include "wire/json_value.h"

namespace huntd {
namespace {

using Held = PretendLedger::Held;

Held* find(std::vector<Held>& held, PretendLedger::Loot loot) {
  auto const found =
      std::find_if(held.begin(), held.end(), [loot](const Held& one) { return one.loot == loot; });
  return found == held.end() ? nullptr : &*found;
}

}  // namespace

std::optional<PretendLedger::Loot> PretendLedger::loot_of(std::string_view loot_id) {
  if (auto const known = loot_by_id_.find(loot_id); known != loot_by_id_.end())
    return known->second;
  if (loot_ids_.size() == simulation::loot_ids_max) return std::nullopt;
  Loot const loot = static_cast<Loot>(loot_ids_.size());
  loot_ids_.emplace_back(loot_id);
  supplies_.emplace_back();
  loot_by_id_.emplace(loot_id, loot);
  return loot;
}

uint64_t PretendLedger::taken(Loot loot, std::span<const Draw> draws) const {
  return supplies_[loot].given +
         static_cast<uint64_t>(std::count_if(draws.begin(), draws.end(), [loot](const Draw& draw) {
           return draw.loot == loot && draw.granted;
         }));
}

std::optional<uint64_t> PretendLedger::left(Loot loot, uint64_t limit, std::span<const Draw> draws,
                                            uint64_t earlier) const {
  uint64_t const left = limit - std::min(limit, taken(loot, draws));
  // What is gone is gone for all later runs.
  if (earlier > 0 && left > 0) return std::nullopt;
  return left;
}

PretendLedger::Unit PretendLedger::draw(Loot loot, uint64_t limit, std::span<const Draw> draws,
                                        uint64_t earlier) const {
  const Supply& supply = supplies_[loot];
  auto const asks_it = [loot](const Draw& draw) { return draw.loot == loot; };
  bool const enlisted = supply.enlisted || std::any_of(draws.begin(), draws.end(), asks_it);
  if (!enlisted) {
    if (earlier > 0) return Unit::later;
    // Those of this run are not counted in enlisted_ before it ends.
    std::vector<Loot> own;
    for (const Draw& draw : draws)
      if (!supplies_[draw.loot].enlisted) own.push_back(draw.loot);
    std::sort(own.begin(), own.end());
    own.erase(std::unique(own.begin(), own.end()), own.end());
    if (enlisted_ + own.size() >= limits::supplies_per_hunt_max) return Unit::full;
  }
  // Units that were given never come back, so what is gone is gone for all later runs; and a run
  // takes at most awards_max, so what is left above that is left in any case.
  uint64_t const taken = this->taken(loot, draws);
  if (taken >= limit) return Unit::gone;
  if (taken + earlier * limits::awards_max < limit) return Unit::granted;
  return Unit::later;
}

PretendLedger::Commit PretendLedger::commit(size_t hunter, std::span<const Given> awards,
                                            std::span<const Draw> draws,
                                            const std::optional<std::string>& new_state) {
  std::vector<Held>& held = held_[hunter];
  size_t const before = held.size();
  for (const Given& given : awards)
    if (find(held, given.loot) == nullptr) held.push_back({given.loot, 0});
  size_t const added = held.size() - before;
  bool const too_many = added > 0 && held.size() > limits::held_loot_max;
  std::string_view const kept = state(hunter);
  std::string_view const keeps = new_state ? stored_state(*new_state) : kept;
  uint64_t const state_bytes = state_bytes_ - kept.size() + keeps.size();
  bool const too_large =
      held_pairs_ + added > simulation::held_pairs_max || state_bytes > state_bytes_max_;
  if (too_many || too_large) {
    held.resize(before);
    release(draws);
    return too_many ? Commit::held_full : Commit::too_large;
  }
  for (const Given& given : awards)
    find(held, given.loot)->count += static_cast<uint64_t>(int64_t{given.units});
  size_t const with_empty = held.size();
  std::erase_if(held, [](const Held& one) { return one.count == 0; });
  held_pairs_ = held_pairs_ + added - (with_empty - held.size());
  state_bytes_ = state_bytes;
  if (new_state && keeps.empty())
    states_.erase(hunter);
  else if (new_state)
    states_[hunter] = keeps;
  release(draws);
  for (const Draw& draw : draws)
    if (draw.granted) ++supplies_[draw.loot].given;
  return Commit::done;
}

void PretendLedger::release(std::span<const Draw> draws) {
  for (const Draw& draw : draws) {
    Supply& supply = supplies_[draw.loot];
    if (!supply.enlisted) ++enlisted_;
    supply.enlisted = true;
    supply.limit = std::max(supply.limit, draw.limit);
    if (!draw.granted) ++supply.gone;
  }
}

}  // namespace huntd
