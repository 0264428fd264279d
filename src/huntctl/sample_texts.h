// SPDX-License-Identifier: Apache-2.0
// Files of lua/, and new_hunt.lua with its test. The build embeds them.
#pragma once
#include <string_view>

namespace huntd::huntctl {

extern const std::string_view advent_calendar, advent_calendar_test, advent_calendar_toml;
extern const std::string_view campfire, campfire_test;
extern const std::string_view goblin_hoard, goblin_hoard_test;
extern const std::string_view golden_ticket, golden_ticket_test;
extern const std::string_view seven_runes, seven_runes_test;
extern const std::string_view smithy, smithy_test;
extern const std::string_view sphinx, sphinx_test;
extern const std::string_view sunken_chest, sunken_chest_test;
extern const std::string_view new_hunt, new_hunt_test;

}  // namespace huntd::huntctl
