// SPDX-License-Identifier: Apache-2.0
// Counts the runs of a simulation as they take effect, one after the other.
#pragma once
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rehearsal/pretend_ledger.h"
#include "rehearsal/simulation_figures.h"

namespace huntd {

// A run as its worker ended it.
struct PlayedRun {
  RunEnd end = RunEnd::worker_failed;
  std::string reason;                      // not with ok
  std::vector<PretendLedger::Given> loot;  // ok: its awards, and what it takes
  std::vector<PretendLedger::Draw> draws;
  std::vector<std::pair<PretendLedger::Loot, uint64_t>> left;  // of a supply, before the run
  std::optional<std::string> state;  // ok: what the script keeps then; nothing: it did not ask
  uint64_t script_ns = 0;            // 0: not known

  void clear();  // keeps the memory
};

class RunTally {
 public:
  using SeedOf = std::function<std::array<uint64_t, 2>()>;

  explicit RunTally(const SimulationPlan& plan);

  // Lets the next run take effect in the ledger, and counts it. `seed` returns that of the run.
  // Returns false if the ledger is full: then the run has no effect and is not counted.
  bool take(PretendLedger& ledger, PlayedRun& run, const SeedOf& seed);
  uint64_t runs() const { return figures_.runs; }
  SimulationFigures figures(const PretendLedger& ledger) const;

 private:
  struct LootCount {
    uint64_t given = 0;
    uint64_t runs = 0;
    uint64_t last_run = 0;  // + 1; the newest run that gave it
  };
  struct SupplyCount {
    uint64_t used_up_after = 0;
    std::array<uint64_t, simulation::time_slices> given_over_time{};
  };
  using ReasonKey = std::pair<RunEnd, std::string>;

  void count_loot(const PlayedRun& run);
  void count_draws(const PretendLedger& ledger, const PlayedRun& run, bool given);
  void count_reason(const PretendLedger& ledger, const PlayedRun& run, const SeedOf& seed);
  void count_time(uint64_t script_ns);
  uint64_t script_ns_at(double share) const;

  SimulationFigures figures_;
  std::vector<LootCount> loot_;  // by Loot
  std::map<PretendLedger::Loot, SupplyCount> supplies_;
  std::map<ReasonKey, SimulationFigures::Reason> reasons_;
  std::vector<uint64_t> times_;  // by HistogramLayout
  uint64_t timed_ = 0;
};

}  // namespace huntd
