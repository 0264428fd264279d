// SPDX-License-Identifier: Apache-2.0
// The report of a simulation as one JSON object.
#pragma once
#include <string>

#include "huntctl/simulation_text.h"

namespace huntd::huntctl {

// What was measured is in the member `times`, which only a report with times has.
std::string simulation_json(const SimulationReport& report);

}  // namespace huntd::huntctl
