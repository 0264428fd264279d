// SPDX-License-Identifier: Apache-2.0
// Plays many runs of a hunt on real workers, each of which runs one job after the other, against a
// pretended ledger. What it finds does not depend on how many workers there are.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "bundle/bundle.h"
#include "rehearsal/simulation_figures.h"

namespace huntd {

// Called several times per second with the number of runs that have ended; false ends the
// simulation.
using SimulationProgress = std::function<bool(uint64_t runs)>;

struct Simulated {
  SimulationFigures figures;
  std::string stopped;  // why it could not go on; empty: it has ended, or `progress` ended it
};

// REQUIRES: `bundle` is checked and has the hunt; the plan keeps the bounds of simulation_limits.h.
// The error says why no worker could be started.
Result<Simulated> simulate(const Bundle& bundle, const std::string& worker_path,
                           const SimulationPlan& plan, const SimulationProgress& progress);

}  // namespace huntd
