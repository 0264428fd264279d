// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/case_ledger.h"

#include <fmt/format.h>

#include "base/limits.h"

namespace huntd {
namespace {

// Makes of `run` one that ended so and gives nothing.
void end(Rehearsed& run, RunEnd how, std::string reason) {
  run.end = how;
  run.reason = std::move(reason);
  run.awards.clear();
  run.result.clear();
}

}  // namespace

const CaseLedger::Stored* CaseLedger::find(const std::string& hunter_id,
                                           const std::string& key) const {
  auto const stored = stored_.find({hunter_id, key});
  return stored == stored_.end() ? nullptr : &stored->second;
}

const CaseLedger::Held& CaseLedger::held(const std::string& hunter_id) const {
  static const Held nothing;
  auto const found = held_.find(hunter_id);
  return found == held_.end() ? nothing : found->second;
}

const std::string& CaseLedger::state(const std::string& hunter_id) const {
  static const std::string nothing;
  auto const found = states_.find(hunter_id);
  return found == states_.end() ? nothing : found->second;
}

void CaseLedger::prepare(Rehearsal& rehearsal) const {
  rehearsal.held = held(rehearsal.hunter_id);
  rehearsal.state = state(rehearsal.hunter_id);
  rehearsal.supply_left = left_;
  rehearsal.supply_given = given_;
}

// Counts the supplies that the run asked for. Returns false if they are too many; then none is.
bool CaseLedger::enlist(const Rehearsed& run) {
  size_t more = 0;
  for (const std::string& loot_id : run.supplies_asked) more += given_.contains(loot_id) ? 0 : 1;
  if (given_.size() + more > limits::supplies_per_hunt_max) return false;
  for (const std::string& loot_id : run.supplies_asked) given_.try_emplace(loot_id, 0);
  return true;
}

void CaseLedger::commit(const Rehearsal& rehearsal, const std::string& key, Rehearsed& run) {
  if (!enlist(run))
    end(run, RunEnd::supplies_full,
        fmt::format("the hunt has drawn on {} supplies already", limits::supplies_per_hunt_max));
  if (run.end == RunEnd::ok && !run.awards.empty()) {
    Held held = this->held(rehearsal.hunter_id);
    size_t const before = held.size();
    for (const Rehearsed::Award& award : run.awards)
      held[award.loot_id] += static_cast<uint64_t>(int64_t{award.units});
    if (held.size() > before && held.size() > limits::held_loot_max) {
      end(run, RunEnd::held_full,
          fmt::format("the hunter would hold more than {} different loots", limits::held_loot_max));
    } else {
      std::erase_if(held, [](const auto& each) { return each.second == 0; });
      held_[rehearsal.hunter_id] = std::move(held);
      for (const Rehearsed::Award& award : run.awards) {
        if (!award.limited) continue;
        ++given_[award.loot_id];
        if (auto const left = left_.find(award.loot_id); left != left_.end()) --left->second;
      }
    }
  }
  if (run.end == RunEnd::ok && run.state) set_state(rehearsal.hunter_id, *run.state);
  // As huntd stores them: what means "try again" is not.
  bool const stored = run.end == RunEnd::ok || run.end == RunEnd::rejected;
  if (stored && !key.empty()) stored_[{rehearsal.hunter_id, key}] = {rehearsal.input, run};
}

}  // namespace huntd
