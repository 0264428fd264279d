// SPDX-License-Identifier: Apache-2.0
// The migrations as SQL. docs/formats/hunt-session.md describes the tables.
#pragma once
#include <array>
#include <span>

namespace huntd::aggregator {

// Migration N has index N - 1. A released migration is never changed.
std::span<const char* const> migrations();

// What the newest migration leaves: the tables that hunt-aggregator and huntctl read and write, and
// the views.
inline constexpr std::array written_tables = {
    "hunt_session",   "hunt_session_waiting", "hunt_session_past", "loot_events_dead",
    "hunt_loot_hour", "hunt_retention",       "hunt_floor",        "hunter_floor",
    "hunt_supply",    "hunt_leader",          "hunt_leader_entry"};
inline constexpr const char* version_table = "hunt_schema_version";  // only migrations write it
inline constexpr std::array views = {"hunt_hunters", "hunt_loot", "hunt_loot_per_hour",
                                     "hunt_top_hunters", "hunt_leaderboard"};

}  // namespace huntd::aggregator
