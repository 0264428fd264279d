// SPDX-License-Identifier: Apache-2.0
// The bounds of a simulation; those of a run are in base/limits.h.
#pragma once
#include <cstddef>
#include <cstdint>

namespace huntd::simulation {

inline constexpr uint64_t hunters_max = 1'000'000;
inline constexpr uint64_t hunts_max = 10'000;      // of one hunter
inline constexpr uint64_t runs_max = 100'000'000;  // hunters * hunts
inline constexpr uint64_t workers_max = 64;
inline constexpr size_t seed_bytes_max = 64;
inline constexpr uint64_t every_s_max = uint64_t{366} * 86'400;  // between two hunts of a hunter
// Runs that may have started before the oldest of them has ended.
inline constexpr uint64_t window_runs_max = 4096;
// Units that one run asks for. A hunt that waits for Redis each time asks for fewer in its deadline.
inline constexpr size_t draws_max = 10'000;
inline constexpr size_t loot_ids_max = 100'000;  // different ones, of all runs
// What all hunters hold: pairs of a hunter and a loot_id, 16 bytes each.
inline constexpr uint64_t held_pairs_max = 50'000'000;
// What hunt.state() keeps of all hunters, as JSON.
inline constexpr uint64_t state_bytes_max = uint64_t{512} << 20;
// Lines of errors, and reasons of rejections, that are counted one by one.
inline constexpr size_t reasons_max = 100;
inline constexpr size_t time_slices = 20;  // of all runs, for what supplies gave over time

}  // namespace huntd::simulation
