// SPDX-License-Identifier: Apache-2.0
// What a simulation found. All but `times` follows from the plan and the script.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "rehearsal/run_end.h"
#include "rehearsal/simulation_limits.h"

namespace huntd {

struct SimulationPlan {
  std::string hunt_id;
  std::string seed;  // any text: the seeds of hunt.random follow from it
  uint64_t hunters = 0;
  uint64_t hunts = 0;     // of each hunter
  int64_t now_ms = 0;     // of the first hunt of each hunter, since the Unix epoch
  uint64_t every_ms = 0;  // from one hunt of a hunter to the next
  uint64_t memory_bytes = 0;
  uint32_t deadline_ms = 0;
  std::string input;  // as encode_json_value() writes it; empty: the requests have no body
  uint64_t workers = 1;

  uint64_t runs() const { return hunters * hunts; }
  // In round-robin: the first hunt of all hunters, then the second one of all. Numbers begin at 0.
  uint64_t hunter_of(uint64_t run) const { return run % hunters; }
  uint64_t hunt_of(uint64_t run) const { return run / hunters; }
};

// "hunter-1" for the hunter 0.
std::string simulated_hunter_id(uint64_t hunter);

struct SimulationFigures {
  // One run, so that it can be played again.
  struct Example {
    uint64_t run = 0;  // its number from 0
    std::array<uint64_t, 2> seed{};
    std::vector<std::pair<std::string, uint64_t>> held;  // by the hunter, before it
    std::vector<std::string> gone;                       // supplies without a unit for it
    std::map<std::string, uint64_t> left;                // of supplies that hunt.left asked for
    std::string reason;
  };
  // Runs that ended in the same way: errors in the same line, or rejections with the same reason.
  struct Reason {
    RunEnd end = RunEnd::ok;
    std::string text;  // empty: all others
    uint64_t runs = 0;
    Example first;
  };
  struct Loot {
    std::string loot_id;
    uint64_t given = 0;
    uint64_t runs = 0;     // that gave it
    uint64_t hunters = 0;  // who hold it
  };
  struct Supply {
    std::string loot_id;
    uint64_t limit = 0;  // the greatest that a run gave
    uint64_t given = 0;
    uint64_t gone = 0;           // replies that no unit is left
    uint64_t used_up_after = 0;  // this many runs; 0: units are left
    std::array<uint64_t, simulation::time_slices> given_over_time{};  // in each slice of all runs
  };
  struct Times {
    uint64_t p50_ns = 0;
    uint64_t p90_ns = 0;
    uint64_t p99_ns = 0;
    uint64_t max_ns = 0;
    uint64_t wall_ns = 0;  // of the whole simulation
  };

  SimulationPlan plan;
  uint64_t runs = 0;  // that have ended: fewer than planned if it was interrupted
  std::array<uint64_t, run_ends> ends{};
  std::vector<Reason> reasons;  // of all ends but ok, the most frequent first
  std::vector<Loot> loot;       // the most frequent first
  std::vector<Supply> supplies;
  std::vector<uint64_t> hunters_by_loot;  // [n]: hunters who hold n different loot_ids
  Times times;

  uint64_t failures() const;
  // Hunters who hold all of `loot`; 0 if there is none.
  uint64_t full_sets() const;
};

}  // namespace huntd
