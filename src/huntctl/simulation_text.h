// SPDX-License-Identifier: Apache-2.0
// The report of a simulation for people.
#pragma once
#include <cstdint>
#include <string>

#include "rehearsal/simulation_figures.h"

namespace huntd::huntctl {

struct SimulationReport {
  SimulationFigures figures;
  std::string stopped;  // why it could not go on; empty: it ended, or was interrupted
  std::string script;   // as it was named on the command line
  std::string input;    // as JSON; empty: none
  bool times = true;    // with what was measured, which differs from time to time
};

// "33.4 %": three digits. Only 0 of them is "0 %", and only all of them is "100 %".
std::string per_cent_text(uint64_t n, uint64_t of);
// "1 run", "2 000 runs".
std::string counted(uint64_t n, std::string_view noun);
// What was played: two or three lines.
std::string simulation_head(const SimulationReport& report);
// How often which end came, in words.
std::string reason_text(const SimulationFigures::Reason& reason);
// The command that plays a run again.
std::string again_text(const SimulationReport& report, const SimulationFigures::Example& example);
// Hunters by how many different loot_ids they hold, in at most `rows` ranges: "3", "4-5".
struct HoldersRow {
  std::string loots;
  uint64_t hunters = 0;
};
std::vector<HoldersRow> holders_rows(const SimulationFigures& figures, size_t rows);
// "p50 12.3 µs, ..." and the limits.
std::string times_text(const SimulationReport& report);
std::string limits_text(const SimulationReport& report);

// With `bars`, for a terminal, also bars.
std::string simulation_text(const SimulationReport& report, bool bars);

}  // namespace huntd::huntctl
