// SPDX-License-Identifier: Apache-2.0
// Runs a hunt on a real hunt_worker with its real limits and jail, against a pretended ledger: no
// Redis, no Kafka, and nothing is awarded.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "bundle/bundle.h"
#include "rehearsal/job_worker.h"
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
  std::string state;  // what the script keeps of the hunter, as JSON; empty: nothing
  // Units left of each supply, by loot_id. A supply that is not here has all its units but those
  // that supply_given says.
  std::map<std::string, uint64_t> supply_left;
  std::map<std::string, uint64_t> supply_given;
};

struct Rehearsed {
  using End = RunEnd;
  struct Award {
    std::string loot_id;
    bool limited = false;  // a unit of a supply
    int32_t units = 1;     // below 0: taken
  };
  End end = End::worker_failed;
  std::vector<Award> awards;             // ok: also what is taken
  std::string result;                    // ok: JSON
  std::optional<std::string> state;      // ok: what the script keeps then; nothing: it did not ask
  std::string reason;                    // of any other end
  std::string log;                       // lines of hunt.log, each with its line end
  std::set<std::string> supplies_asked;  // of which the run asked for a unit
  std::set<std::string> supplies_gone;   // of these, those that had none left
  // What was left before the run of each supply that hunt.left was asked for.
  std::map<std::string, uint64_t> supplies_left;
  uint64_t start_us = 0;   // from the worker's start until its VM was ready; 0: never
  uint64_t script_us = 0;  // of the script itself; 0: it did not end
};

// REQUIRES: `bundle` is checked and has the hunt. The error says why no worker could be started.
Result<Rehearsed> rehearse(const Bundle& bundle, const std::string& worker_path,
                           const Rehearsal& rehearsal);

// Does the same for many runs of one bundle, on a worker that is kept between them. The deadline is
// one of CPU time.
class HuntPlayer {
 public:
  // REQUIRES: `bundle` is checked, and exists as long as this object.
  HuntPlayer(const Bundle& bundle, std::string worker_path, uint32_t deadline_ms)
      : bundle_(bundle), worker_(std::move(worker_path), bundle.descriptor(), deadline_ms) {}

  // REQUIRES: as rehearse(), and the deadline is that of this object.
  Result<Rehearsed> play(const Rehearsal& rehearsal);

 private:
  const Bundle& bundle_;
  JobWorker worker_;
};

}  // namespace huntd
