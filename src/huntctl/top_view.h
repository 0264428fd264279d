// SPDX-License-Identifier: Apache-2.0
// What `huntctl top` shows, as lines of text.
#pragma once
#include <string>
#include <vector>

#include "huntctl/health_call.h"
#include "huntctl/hunts_report.h"
#include "huntctl/latency_report.h"
#include "huntctl/status_report.h"
#include "huntctl/terminal.h"
#include "huntctl/top_keys.h"

namespace huntd::huntctl {

// What huntd says at one moment.
struct TopSample {
  Status status;
  LatencyReport latency;
  Health health;
  HuntsReport hunts;  // without hunts if huntd is older and has no /hunts.json
};

struct TopFrame {
  TopSample now;
  Activity activity;             // since the sample before
  LatencyReport interval;        // since then
  std::vector<HuntRates> hunts;  // since then, the hottest first
  std::string problem;           // why there is no newer sample; empty if there is
};

TopFrame frame_between(const TopSample& before, const TopSample& now);

// All lines: the host, the outcomes, the stages, the cores, what is not well, and the hottest hunts.
// Columns that do not fit into `columns` are left out, the least important ones first.
std::vector<std::string> top_lines(const TopFrame& frame, size_t columns);

// The lines for a screen of `size`: the first line stays, the last one names the keys, and between
// them is the part of the others from state.scroll, which is bounded. With `colour`, by ECMA-48.
std::vector<std::string> top_screen(const TopFrame& frame, TopState& state, TerminalSize size,
                                    bool colour);

}  // namespace huntd::huntctl
