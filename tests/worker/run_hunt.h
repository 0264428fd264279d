// SPDX-License-Identifier: Apache-2.0
// Runs one script in a real hunt_worker. The test is the core: it sends the job and replies to the
// worker's requests. The path of hunt_worker is in the environment variable HUNTD_WORKER, which the
// test's meson.build sets.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/worker_frame.h"

namespace huntd::test {

struct SupplyRequest {
  uint32_t position = 0;
  std::string loot_id;
  uint64_t limit = 0;
};

struct HuntRun {
  std::string script;
  std::string hunt_id = "hunt";
  std::string hunter_id = "ada";
  uint64_t seed[2] = {1, 2};
  int64_t now_ms = 1'700'000'000'000;
  std::string input_json = {};  // empty: none
  uint64_t memory_bytes = 32 * 1024 * 1024;
  uint32_t flags = 0;                         // WF_JOB_...
  std::map<std::string, uint64_t> held = {};  // the hunter's loot
  std::string state_json = {};                // what hunt.state() has; empty: nothing
  uint64_t supply_left = 0;                   // limited awards that are granted; for hunt.left
  uint32_t end_after_ms = 20'000;             // then the worker is killed
};

struct Award {
  std::string loot_id;
  bool limited = false;
  int32_t units = 1;  // below 0: taken
  bool operator==(const Award&) const = default;
};

struct HuntEnd {
  bool outcome_came = false;  // otherwise the worker exited without one
  bool killed = false;        // by this test, at end_after_ms
  int wait_status = 0;        // as waitpid(2)
  uint32_t status = 0;        // WF_OK...
  std::vector<Award> awards = {};
  std::string result = {};
  std::optional<std::string> state = {};
  std::string reason = {};
  std::string log = {};
  uint64_t started_at_ns = 0;
  uint64_t vm_ready_at_ns = 0;
  uint64_t script_done_at_ns = 0;
  size_t image_bytes = 0;  // received before the outcome
  int held_requests = 0;
  int state_requests = 0;
  std::vector<SupplyRequest> supply_requests = {};
  std::vector<SupplyRequest> left_requests = {};  // without a position

  // The awards' loot_ids in order, separated by spaces.
  std::string loot() const;
};

HuntEnd run_hunt(const HuntRun& run);
// Runs these hunts one after the other in one worker, each from the image of its script. Stops
// after the first one without an outcome.
std::vector<HuntEnd> run_batch(const std::vector<HuntRun>& runs);

// Sends `packet` to a worker with this argv[1].
HuntEnd run_packet(std::string_view packet, const std::string& argument, int bundle_descriptor);
// The same, and closes the socket at the worker's first request.
HuntEnd run_packet_then_close(std::string_view packet, const std::string& argument,
                              int bundle_descriptor);

// The result of a worker without an argument.
struct UsageEnd {
  int exit_status = -1;
  std::string stderr_text;
};
UsageEnd run_without_arguments();

}  // namespace huntd::test
