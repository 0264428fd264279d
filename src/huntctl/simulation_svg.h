// SPDX-License-Identifier: Apache-2.0
// The report of a simulation as one picture, or as one page with that picture and tables; neither
// needs another file.
#pragma once
#include <string>

#include "huntctl/simulation_text.h"

namespace huntd::huntctl {

std::string simulation_svg(const SimulationReport& report);
std::string simulation_html(const SimulationReport& report);

}  // namespace huntd::huntctl
