// Runs one script in the real hunt_worker, with the test in the core's place: it sends the job and
// answers what the worker asks. The worker's path comes from the environment (HUNTD_WORKER), set by
// the test's meson.build.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/worker_frame.h"

namespace huntd::test {

struct SupplyQuestion {
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
  std::map<std::string, uint64_t> held = {};  // what the hunter holds
  uint64_t supply_left = 0;                   // granted that often, then gone
  uint32_t end_after_ms = 20'000;             // then the worker is killed
};

struct GivenLoot {
  std::string loot_id;
  bool limited = false;
  bool operator==(const GivenLoot&) const = default;
};

struct HuntEnd {
  bool outcome_came = false;  // else the worker ended without one
  bool killed = false;        // by this test, at end_after_ms
  int wait_status = 0;        // as waitpid(2)
  uint32_t status = 0;        // WF_OK...
  std::vector<GivenLoot> awards = {};
  std::string result = {};
  std::string reason = {};
  std::string log = {};
  uint64_t started_at_ns = 0;
  uint64_t vm_ready_at_ns = 0;
  uint64_t script_done_at_ns = 0;
  size_t image_bytes = 0;  // that came before the outcome
  int held_questions = 0;
  std::vector<SupplyQuestion> supply_questions = {};

  // The awards' loot_ids in order, separated by spaces.
  std::string loot() const;
};

HuntEnd run_hunt(const HuntRun& run);
// The same runs (their scripts too, each a hunt of one bundle) one after the other in one worker,
// each from its image. An end without an outcome is the last.
std::vector<HuntEnd> run_batch(const std::vector<HuntRun>& runs);

// Sends `packet` instead of a job. `argument` is the worker's argv[1].
HuntEnd run_packet(std::string_view packet, const std::string& argument, int bundle_descriptor);
// The same, and the test's end of the socket is closed at the worker's first question.
HuntEnd run_packet_then_close(std::string_view packet, const std::string& argument,
                              int bundle_descriptor);

// A worker started without a job: what it writes on stderr, and its exit status.
struct UsageEnd {
  int exit_status = -1;
  std::string stderr_text;
};
UsageEnd run_without_arguments();

}  // namespace huntd::test
