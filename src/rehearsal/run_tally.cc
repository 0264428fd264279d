// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/run_tally.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/limits.h"
#include "metrics/histogram.h"

namespace huntd {
namespace {

using Figures = SimulationFigures;

// What is counted together: an error in a line of the script, whichever values its text has.
std::string_view key_of(const PlayedRun& run) {
  std::string_view const text = run.reason;
  if (run.end != RunEnd::script_error) return text;
  size_t const after_file = text.find(".lua:");
  if (after_file == std::string_view::npos) return text;
  return text.substr(0, std::min(text.find(':', after_file + 5), text.size()));
}

Figures::Example example_of(const PretendLedger& ledger, const SimulationPlan& plan,
                            uint64_t number, const PlayedRun& run, std::array<uint64_t, 2> seed) {
  Figures::Example example{number, seed, {}, {}, {}, run.reason};
  for (const PretendLedger::Held& held : ledger.held(plan.hunter_of(number)))
    example.held.emplace_back(ledger.loot_id(held.loot), held.count);
  for (const PretendLedger::Draw& draw : run.draws) {
    const std::string& loot_id = ledger.loot_id(draw.loot);
    bool const listed =
        std::find(example.gone.begin(), example.gone.end(), loot_id) != example.gone.end();
    if (!draw.granted && !listed) example.gone.push_back(loot_id);
  }
  for (auto const& [loot, units] : run.left) example.left.emplace(ledger.loot_id(loot), units);
  return example;
}

}  // namespace

std::string simulated_hunter_id(uint64_t hunter) { return fmt::format("hunter-{}", hunter + 1); }

uint64_t SimulationFigures::failures() const {
  uint64_t sum = 0;
  for (size_t end = 0; end < run_ends; ++end)
    if (is_failure(static_cast<RunEnd>(end))) sum += ends[end];
  return sum;
}

uint64_t SimulationFigures::full_sets() const {
  return loot.empty() || loot.size() >= hunters_by_loot.size() ? 0 : hunters_by_loot[loot.size()];
}

void PlayedRun::clear() {
  end = RunEnd::worker_failed;
  reason.clear();
  loot.clear();
  draws.clear();
  left.clear();
  state.reset();
  script_ns = 0;
}

RunTally::RunTally(const SimulationPlan& plan) : times_(HistogramLayout::cells) {
  figures_.plan = plan;
}

bool RunTally::take(PretendLedger& ledger, PlayedRun& run, const SeedOf& seed) {
  uint64_t const hunter = figures_.plan.hunter_of(figures_.runs);
  loot_.resize(ledger.loot_count());
  bool given = false;
  if (run.end != RunEnd::ok) {
    count_reason(ledger, run, seed);
    ledger.release(run.draws);
  } else {
    switch (ledger.commit(hunter, run.loot, run.draws, run.state)) {
      case PretendLedger::Commit::done:
        given = true;
        break;
      case PretendLedger::Commit::held_full:
        run.end = RunEnd::held_full;
        run.reason = fmt::format("a hunter would hold more than {} different loot_ids",
                                 limits::held_loot_max);
        count_reason(ledger, run, seed);
        break;
      case PretendLedger::Commit::too_large:
        return false;
    }
  }
  if (given) count_loot(run);
  count_draws(ledger, run, given);
  ++figures_.ends[static_cast<size_t>(run.end)];
  if (run.script_ns > 0) count_time(run.script_ns);
  ++figures_.runs;
  return true;
}

void RunTally::count_loot(const PlayedRun& run) {
  for (const PretendLedger::Given& given : run.loot) {
    if (given.units < 0) continue;
    LootCount& count = loot_[given.loot];
    count.given += static_cast<uint64_t>(given.units);
    if (count.last_run == figures_.runs + 1) continue;
    count.last_run = figures_.runs + 1;
    ++count.runs;
  }
}

void RunTally::count_draws(const PretendLedger& ledger, const PlayedRun& run, bool given) {
  for (const PretendLedger::Draw& draw : run.draws) {
    const PretendLedger::Supply& supply = ledger.supply(draw.loot);
    SupplyCount& count = supplies_[draw.loot];
    if (given && draw.granted) {
      uint64_t const slice = figures_.runs * simulation::time_slices / figures_.plan.runs();
      ++count.given_over_time[slice];
    }
    if (supply.given < supply.limit)
      count.used_up_after = 0;
    else if (count.used_up_after == 0)
      count.used_up_after = figures_.runs + 1;
  }
}

void RunTally::count_reason(const PretendLedger& ledger, const PlayedRun& run, const SeedOf& seed) {
  // The empty key is for all reasons above the bound.
  ReasonKey key(run.end, run.reason.empty() ? "without a reason" : key_of(run));
  auto found = reasons_.find(key);
  if (found == reasons_.end()) {
    if (reasons_.size() >= simulation::reasons_max) key.second.clear();
    Figures::Reason reason{key.first, key.second, 0, {}};
    found = reasons_.emplace(std::move(key), std::move(reason)).first;
    if (found->second.runs == 0)
      found->second.first = example_of(ledger, figures_.plan, figures_.runs, run, seed());
  }
  ++found->second.runs;
}

void RunTally::count_time(uint64_t script_ns) {
  ++times_[HistogramLayout::index_of(script_ns)];
  ++timed_;
  figures_.times.max_ns = std::max(figures_.times.max_ns, script_ns);
}

uint64_t RunTally::script_ns_at(double share) const {
  uint64_t const wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(timed_)));
  uint64_t count = 0;
  for (size_t cell = 0; cell < times_.size() && timed_ > 0; ++cell) {
    count += times_[cell];
    if (count >= wanted) return std::min(HistogramLayout::highest_of(cell), figures_.times.max_ns);
  }
  return 0;
}

SimulationFigures RunTally::figures(const PretendLedger& ledger) const {
  Figures figures = figures_;
  std::vector<uint64_t> holders(ledger.loot_count());
  for (size_t hunter = 0; hunter < ledger.hunters(); ++hunter) {
    auto const held = ledger.held(hunter);
    if (figures.hunters_by_loot.size() <= held.size())
      figures.hunters_by_loot.resize(held.size() + 1);
    ++figures.hunters_by_loot[held.size()];
    for (const PretendLedger::Held& one : held) ++holders[one.loot];
  }
  for (PretendLedger::Loot loot = 0; loot < loot_.size(); ++loot)
    if (loot_[loot].given > 0)
      figures.loot.push_back(
          {ledger.loot_id(loot), loot_[loot].given, loot_[loot].runs, holders[loot]});
  // By the loot_id too: the numbers of loot depend on which worker was first.
  std::sort(figures.loot.begin(), figures.loot.end(), [](const auto& a, const auto& b) {
    return a.given != b.given ? a.given > b.given : a.loot_id < b.loot_id;
  });
  for (auto const& [loot, count] : supplies_) {
    const PretendLedger::Supply& supply = ledger.supply(loot);
    figures.supplies.push_back({ledger.loot_id(loot), supply.limit, supply.given, supply.gone,
                                count.used_up_after, count.given_over_time});
  }
  std::sort(figures.supplies.begin(), figures.supplies.end(),
            [](const auto& a, const auto& b) { return a.loot_id < b.loot_id; });
  for (auto const& [key, reason] : reasons_) figures.reasons.push_back(reason);
  std::stable_sort(figures.reasons.begin(), figures.reasons.end(),
                   [](const auto& a, const auto& b) { return a.runs > b.runs; });
  figures.times.p50_ns = script_ns_at(0.5);
  figures.times.p90_ns = script_ns_at(0.9);
  figures.times.p99_ns = script_ns_at(0.99);
  return figures;
}

}  // namespace huntd
