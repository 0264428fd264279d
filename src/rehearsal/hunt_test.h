// SPDX-License-Identifier: Apache-2.0
// Tests of a hunt: a script NAME_test.lua that plays NAME.lua against a pretended ledger and says
// what has to come of it (decision 54). Both run on real hunt_workers in their jail, the hunt with
// the limits of huntd.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "bundle/bundle.h"
#include "rehearsal/rehearse.h"

namespace huntd {

namespace test_limits {
inline constexpr size_t cases_max = 1000;               // of one script
inline constexpr uint64_t runs_max = 1'000'000;         // of the hunt, in one case
inline constexpr uint64_t hunters_max = 100'000;        // of one test.when
inline constexpr uint32_t script_deadline_ms = 10'000;  // of a case, without the runs of the hunt
}  // namespace test_limits

struct TestPlan {
  const Bundle* hunt = nullptr;  // checked, with the hunt
  std::string hunt_id;
  std::string script;       // of the test
  std::string script_name;  // its file's name without ".lua": an id
  BundleFiles files;        // of the test: script_name, with any text, and what is beside it
  std::string worker_path;
  uint64_t memory_bytes = 0;
  uint32_t deadline_ms = 0;  // of a run of the hunt
};

struct TestedCase {
  // A run of the hunt, so that it can be played again.
  struct Run {
    Rehearsal request;
    std::string input_json;  // of request.input
    Rehearsed outcome;
  };
  std::string name;
  bool passed = false;
  // If it did not pass: what was looked at, what it had to be and what it was. The last two may be
  // empty: then `what` says it all.
  std::string what;
  std::string expected;
  std::string came;
  size_t line = 0;              // of the test script; 0: not known
  std::string log;              // the lines of test.log
  std::optional<Run> last_run;  // of the hunt
  uint64_t runs = 0;            // of the hunt
  uint64_t wall_ns = 0;
};

// Plays all cases in the order of the script, each with a ledger of its own. If the script itself
// fails there is one case, with an empty name. The error says why no worker could be started, or
// what does not compile.
Result<std::vector<TestedCase>> test_hunt(const TestPlan& plan);

// The longest test script: what it is put together with needs the rest of limits::script_bytes_max.
size_t test_script_bytes_max();

}  // namespace huntd
