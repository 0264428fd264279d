// SPDX-License-Identifier: Apache-2.0
// One hunt_worker process: a job, an outcome, the exit.
#include "base/limits.h"
#include "bundle/bundle.h"
#include "worker/run_hunt.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>

using namespace huntd;
using namespace huntd::test;

namespace {

wf_text text_of(std::string_view text) { return {text.data(), static_cast<uint32_t>(text.size())}; }

// A packet with a job for the bundle's only hunt.
std::string job_packet(const Bundle& bundle, std::string_view hunter_id) {
  const BundledHunt& hunt = bundle.hunts().front();
  wf_job job{};
  job.memory_bytes = 32 * 1024 * 1024;
  job.script_offset = hunt.offset;
  job.script_bytes = hunt.bytes;
  job.hunt_id = text_of(hunt.hunt_id);
  job.hunter_id = text_of(hunter_id);
  std::string packet(limits::worker_frame_bytes_max, '\0');
  packet.resize(wf_write_job(packet.data(), packet.size(), &job));
  return packet;
}

}  // namespace

TEST_CASE("a worker without an argument prints its usage and its C library") {
  UsageEnd const end = run_without_arguments();
  CHECK(end.exit_status == 2);
  CHECK(end.stderr_text.starts_with("usage: hunt_worker HUNTER_ID"));
  bool const names_libc = end.stderr_text.find("musl") != std::string::npos ||
                          end.stderr_text.find("glibc") != std::string::npos;
  CHECK(names_libc);
}

TEST_CASE("a worker runs one script, reports its outcome and exits with status 0") {
  HuntEnd const end =
      run_hunt({.script = "return function(hunt) hunt.award('pearl') return 7 end"});
  REQUIRE(end.outcome_came);
  CHECK(end.status == WF_OK);
  CHECK(end.loot() == "pearl");
  CHECK(end.result == "7");
  CHECK(end.reason.empty());
  CHECK(end.log.empty());
  CHECK(WIFEXITED(end.wait_status));
  CHECK(WEXITSTATUS(end.wait_status) == 0);
}

TEST_CASE("the outcome's times are in order") {
  HuntEnd const end = run_hunt({.script = "return function() end"});
  CHECK(end.started_at_ns > 0);
  CHECK(end.vm_ready_at_ns >= end.started_at_ns);
  CHECK(end.script_done_at_ns >= end.vm_ready_at_ns);
}

TEST_CASE("the longest script runs") {
  std::string const head = "return function() return 'whole' end";
  HuntEnd const end =
      run_hunt({.script = head + std::string(limits::script_bytes_max - head.size(), '\n')});
  CHECK(end.status == WF_OK);
  CHECK(end.result == "\"whole\"");
}

TEST_CASE("a script that never ends can be killed and awards nothing") {
  HuntEnd const end = run_hunt({
      .script = "return function(hunt) hunt.award('pearl') while true do end end",
      .end_after_ms = 100,
  });
  CHECK(end.killed);
  CHECK_FALSE(end.outcome_came);
  CHECK(WIFSIGNALED(end.wait_status));
  CHECK(WTERMSIG(end.wait_status) == SIGKILL);
}

TEST_CASE("a script that catches every error can be killed") {
  HuntEnd const end = run_hunt({
      .script = "return function() while true do pcall(error, 'x') end end",
      .end_after_ms = 100,
  });
  CHECK(WIFSIGNALED(end.wait_status));
}

TEST_CASE("a check job compiles the script and runs its top-level code, not its function") {
  HuntEnd const fine = run_hunt({
      .script = "return function(hunt) error('must not run') end",
      .flags = WF_JOB_CHECK,
  });
  CHECK(fine.status == WF_OK);
  HuntEnd const failing = run_hunt({
      .script = "local a = 1\nerror('at the top')\nreturn function() end",
      .flags = WF_JOB_CHECK,
  });
  CHECK(failing.status == WF_SCRIPT_ERROR);
  CHECK(failing.reason == "hunt.lua:2: at the top");
}

TEST_CASE("a packet that is not a job gets the outcome WF_BAD_JOB") {
  Result<Bundle> const bundle = make_bundle({{"hunt", "return function() end"}});
  REQUIRE(bundle);
  std::string const good = job_packet(*bundle, "ada");
  SUBCASE("the job of another hunter") {
    HuntEnd const end = run_packet(good, "bob", bundle->descriptor());
    CHECK(end.status == WF_BAD_JOB);
    CHECK(end.reason == "the job is not for this worker");
  }
  SUBCASE("a wrong magic") {
    std::string bad = good;
    bad[0] = 'X';
    CHECK(run_packet(bad, "ada", bundle->descriptor()).status == WF_BAD_JOB);
  }
  SUBCASE("a byte less") {
    std::string const bad = good.substr(0, good.size() - 1);
    CHECK(run_packet(bad, "ada", bundle->descriptor()).status == WF_BAD_JOB);
  }
  SUBCASE("a byte more") {
    CHECK(run_packet(good + "x", "ada", bundle->descriptor()).status == WF_BAD_JOB);
  }
  SUBCASE("the unmodified job runs") {
    CHECK(run_packet(good, "ada", bundle->descriptor()).status == WF_OK);
  }
}

TEST_CASE("a script beyond the bundle's end is a bad job, not an empty script") {
  Result<Bundle> const other =
      make_bundle({{"hunt", "return function() end" + std::string(900, ' ')}});
  Result<Bundle> const bundle = make_bundle({{"hunt", "return function() end"}});
  REQUIRE(other);
  REQUIRE(bundle);
  HuntEnd const end = run_packet(job_packet(*other, "ada"), "ada", bundle->descriptor());
  CHECK(end.status == WF_BAD_JOB);
  CHECK(end.reason == "the bundle cannot be read");
}

TEST_CASE("malformed input is a script error that says so") {
  Result<Bundle> const bundle = make_bundle({{"hunt", "return function() end"}});
  REQUIRE(bundle);
  const BundledHunt& hunt = bundle->hunts().front();
  wf_job job{};
  job.memory_bytes = 32 * 1024 * 1024;
  job.script_offset = hunt.offset;
  job.script_bytes = hunt.bytes;
  job.hunt_id = text_of("hunt");
  job.hunter_id = text_of("ada");
  for (const std::string& bad : std::vector<std::string>{
           std::string("\x09"), std::string("\x04\xff\xff\xff\xff", 5),
           std::string("\x05\x02\0\0\0\0", 6), std::string("\0\0", 2), std::string(200, '\x05')}) {
    job.input = text_of(bad);
    std::string packet(limits::worker_frame_bytes_max, '\0');
    packet.resize(wf_write_job(packet.data(), packet.size(), &job));
    HuntEnd const end = run_packet(packet, "ada", bundle->descriptor());
    CHECK(end.outcome_came);
    CHECK(end.status == WF_SCRIPT_ERROR);
    CHECK(end.reason.find("hunt.input") != std::string::npos);
  }
}

TEST_CASE("a worker whose core has ended exits") {
  // The test closes its end of the socket while the worker waits for a reply.
  Result<Bundle> const bundle = make_bundle({{"hunt", "return function(h) return h.held() end"}});
  REQUIRE(bundle);
  HuntEnd const end =
      run_packet_then_close(job_packet(*bundle, "ada"), "ada", bundle->descriptor());
  CHECK_FALSE(end.outcome_came);
  CHECK(WIFEXITED(end.wait_status));
  CHECK(WEXITSTATUS(end.wait_status) == 3);
}
