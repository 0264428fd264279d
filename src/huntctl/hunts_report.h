// SPDX-License-Identifier: Apache-2.0
// The content of /hunts.json (docs/formats/admin-json.md), and the rates between two of them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd::huntctl {

// The figures of one hunt since huntd started.
struct HuntCounts {
  std::string hunt;  // empty: all hunts that have no figures of their own
  uint64_t runs = 0;
  uint64_t failed = 0;
  uint64_t refused = 0;
  double p50_ms = 0;  // 0 if no run has a duration
  double p99_ms = 0;
};

struct HuntsReport {
  std::vector<HuntCounts> hunts;  // the most runs first, the others last
  uint64_t hunts_max = 0;         // hunts with figures of their own, at most
};

// The error says whether a member is missing or has another type.
Result<HuntsReport> read_hunts_report(std::string_view json);

// How often one hunt ran per second.
struct HuntRates {
  HuntCounts now;
  double runs = 0;
  double failed = 0;
  double refused = 0;
};

// The hunts that ran in the `seconds` from `before` to `now`, the hottest first. `restarted`: huntd
// started in between, and `seconds` are those since its start. A hunt that is not in a full
// `before` is left out: it may have been one of the others. Empty if `seconds` is 0.
std::vector<HuntRates> hunts_between(const HuntsReport& before, const HuntsReport& now,
                                     double seconds, bool restarted);

}  // namespace huntd::huntctl
