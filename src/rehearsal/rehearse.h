// SPDX-License-Identifier: Apache-2.0
// Runs a hunt on a real hunt_worker with its real limits and jail, against a pretended ledger: no
// Redis, no Kafka, and nothing is awarded.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "bundle/bundle.h"
#include "rehearsal/run_end.h"

namespace huntd {

struct Rehearsal {
  std::string hunt_id;
  std::string hunter_id;
  std::array<uint64_t, 2> seed{};  // of hunt.random
  int64_t now_ms = 0;              // since the Unix epoch
  uint64_t memory_bytes = 0;
  uint32_t deadline_ms = 0;
  std::string input;  // as encode_json_value() writes it; empty: the request has no body
  std::map<std::string, uint64_t> held;
  // Units left of each supply, by loot_id. A supply that is not here has all its units.
  std::map<std::string, uint64_t> supply_left;
};

struct Rehearsed {
  using End = RunEnd;
  struct Award {
    std::string loot_id;
    bool limited = false;  // a unit of a supply
  };
  End end = End::worker_failed;
  std::vector<Award> awards;  // ok
  std::string result;         // ok: JSON
  std::string reason;         // of any other end
  std::string log;            // lines of hunt.log, each with its line end
  uint64_t start_us = 0;      // from the worker's start until its VM was ready; 0: never
  uint64_t script_us = 0;     // of the script itself; 0: it did not end
};

// REQUIRES: `bundle` is checked and has the hunt. The error says why no worker could be started.
Result<Rehearsed> rehearse(const Bundle& bundle, const std::string& worker_path,
                           const Rehearsal& rehearsal);

}  // namespace huntd
