// SPDX-License-Identifier: Apache-2.0
#include "huntd/admin/health.h"

#include <doctest/doctest.h>
#include <signal.h>

#include <cerrno>

#include "huntd/admin/admin_limits.h"
#include "metrics/start_failure.h"

using namespace huntd;
using namespace huntd::server;

namespace {

constexpr uint64_t now_ns = 3'600'000'000'000;

MetricsSnapshot ready_cores(uint32_t cores) {
  MetricsSnapshot snapshot;
  snapshot.taken_at_ns = now_ns;
  for (uint32_t index = 0; index < cores; ++index) {
    CoreSnapshot core;
    core.core = index;
    core.state = CoreState::ready;
    core.heartbeat_ns = now_ns - 1000;
    core.gauge[static_cast<size_t>(Gauge::redis_up)] = 1;
    snapshot.cores.push_back(core);
  }
  return snapshot;
}

bool contains(const HealthReport& report, const char* text) {
  return report.json.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("cores that complete ticks and have Redis are healthy and ready") {
  MetricsSnapshot const snapshot = ready_cores(2);
  CHECK(check_health(snapshot).json == "{\"healthy\":true,\"reasons\":[]}\n");
  CHECK(check_ready(snapshot).json == "{\"ready\":true,\"reasons\":[]}\n");
}

TEST_CASE("a core without a tick for longer than the limit is named") {
  MetricsSnapshot snapshot = ready_cores(2);
  snapshot.cores[1].heartbeat_ns = now_ns - limits::heartbeat_age_max_ms * 1'000'000;
  CHECK(check_health(snapshot).good);
  snapshot.cores[1].heartbeat_ns -= 1'000'000;
  HealthReport const report = check_health(snapshot);
  CHECK_FALSE(report.good);
  CHECK(contains(report, R"({"core":1,"reason":"core 1 completed its last tick 1001 ms ago"})"));
  CHECK_FALSE(contains(report, "core 0"));
}

TEST_CASE("a core is not live only after a stall that a restart would end") {
  MetricsSnapshot snapshot = ready_cores(2);
  CHECK(check_live(snapshot).json == "{\"live\":true,\"reasons\":[]}\n");
  snapshot.cores[0].state = CoreState::down;  // the parent starts it again
  snapshot.cores[1].gauge[static_cast<size_t>(Gauge::redis_up)] = 0;
  snapshot.cores[1].heartbeat_ns = now_ns - limits::live_core_age_max_ms * 1'000'000;
  CHECK(check_live(snapshot).good);
  snapshot.cores[1].heartbeat_ns -= 1'000'000;
  HealthReport const report = check_live(snapshot);
  CHECK_FALSE(report.good);
  CHECK(contains(report, R"({"core":1,"reason":"core 1 completed its last tick 10001 ms ago"})"));
  CHECK_FALSE(contains(report, "core 0"));
  snapshot.cores[1].heartbeat_ns = 0;  // it starts
  CHECK(check_live(snapshot).good);
}

TEST_CASE("without a turn of the parent's loop for too long huntd is not live") {
  MetricsSnapshot snapshot = ready_cores(1);
  snapshot.parent_heartbeat_ns = now_ns - limits::live_parent_age_max_ms * 1'000'000;
  CHECK(check_live(snapshot).good);
  snapshot.parent_heartbeat_ns -= 1'000'000;
  HealthReport const report = check_live(snapshot);
  CHECK_FALSE(report.good);
  CHECK(contains(report, R"({"core":null,"reason":"the parent's loop last ran 30001 ms ago"})"));
  CHECK(check_health(snapshot).good);
}

TEST_CASE("a core without a process is not healthy and not ready") {
  MetricsSnapshot snapshot = ready_cores(1);
  snapshot.cores[0].state = CoreState::down;
  CHECK(contains(check_health(snapshot), "core 0 has no process"));
  CHECK(contains(check_ready(snapshot), "core 0 is down"));
}

TEST_CASE("a core without a process says how the last one ended") {
  MetricsSnapshot snapshot = ready_cores(1);
  snapshot.cores[0].last_end = "its spawner was gone";
  CHECK(check_ready(snapshot).good);
  snapshot.cores[0].state = CoreState::down;
  CHECK(contains(check_ready(snapshot),
                 "core 0 is down; its last process ended: its spawner was gone"));
  snapshot.cores[0].state = CoreState::starting;
  CHECK(contains(check_ready(snapshot), "core 0 is starting; its last process ended"));
}

TEST_CASE("a stalled core is neither healthy nor ready, for the same reason") {
  MetricsSnapshot snapshot = ready_cores(2);
  snapshot.cores[1].heartbeat_ns = now_ns - (limits::heartbeat_age_max_ms + 1) * 1'000'000;
  for (const HealthReport& report : {check_health(snapshot), check_ready(snapshot)}) {
    CHECK_FALSE(report.good);
    CHECK(contains(report, R"({"core":1,"reason":"core 1 completed its last tick 1001 ms ago"})"));
    CHECK_FALSE(contains(report, "core 0"));
  }
}

TEST_CASE("a core that waits for Redis is healthy but not ready") {
  MetricsSnapshot snapshot = ready_cores(2);
  snapshot.cores[1].gauge[static_cast<size_t>(Gauge::redis_up)] = 0;
  CHECK(check_health(snapshot).good);
  HealthReport const report = check_ready(snapshot);
  CHECK_FALSE(report.good);
  CHECK(contains(report, "core 1 has no connection to Redis"));
}

TEST_CASE("a core that cannot start workers is healthy but not ready") {
  MetricsSnapshot snapshot = ready_cores(2);
  uint64_t& failure = snapshot.cores[1].gauge[static_cast<size_t>(Gauge::worker_start_failure)];
  failure = EAGAIN;
  CHECK(check_health(snapshot).good);
  CHECK(check_ready(snapshot).json ==
        R"({"ready":false,"reasons":[{"core":1,"reason":"core 1 cannot start workers: )"
        R"(Resource temporarily unavailable"}]})"
        "\n");
  failure = start_failure_silent;
  CHECK(contains(check_ready(snapshot), "core 1 cannot start workers: the process that starts"));
  failure = start_failure_code(0, 9 << 8);
  CHECK(contains(check_ready(snapshot), "a worker exited before it had a job, with status 9"));
  failure = start_failure_code(0, SIGKILL);
  CHECK(contains(check_ready(snapshot), "a worker was killed before it had a job, by signal 9"));
}

TEST_CASE("a core that can't use its Redis is not ready, and the reason is named") {
  MetricsSnapshot snapshot = ready_cores(1);
  snapshot.cores[0].gauge[static_cast<size_t>(Gauge::redis_up)] = 0;
  snapshot.cores[0].redis_reason = "maxmemory-policy is allkeys-lru";
  CHECK(check_health(snapshot).good);
  CHECK(contains(check_ready(snapshot), "core 0 can't use Redis: maxmemory-policy is allkeys-lru"));
  snapshot.cores[0].redis_address = "10.0.0.1:6379";
  CHECK(contains(check_ready(snapshot), "core 0 can't use Redis at 10.0.0.1:6379: maxmemory"));
  snapshot.cores[0].redis_reason = "10.0.0.1:6379: nothing listens there";
  CHECK(contains(check_ready(snapshot), "core 0 can't use Redis: 10.0.0.1:6379: nothing"));
  snapshot.cores[0].redis_reason = "";
  CHECK(contains(check_ready(snapshot), "core 0 has no connection to Redis at 10.0.0.1:6379"));
}

TEST_CASE("a host that is stopping is not ready, and healthy") {
  MetricsSnapshot snapshot = ready_cores(1);
  snapshot.host_state = HostState::stopping;
  CHECK(check_health(snapshot).good);
  CHECK(check_ready(snapshot).json ==
        R"({"ready":false,"reasons":[{"core":null,"reason":"draining: huntd is stopping"}]})"
        "\n");
}

TEST_CASE("a host that the operator drained is not ready, and healthy") {
  MetricsSnapshot snapshot = ready_cores(1);
  snapshot.host_state = HostState::drained;
  CHECK(check_health(snapshot).good);
  CHECK(contains(check_ready(snapshot), R"({"core":null,"reason":"draining: by the operator)"));
}

TEST_CASE("a core that drains is not ready, by its state or by its gauge") {
  MetricsSnapshot snapshot = ready_cores(1);
  snapshot.cores[0].gauge[static_cast<size_t>(Gauge::draining)] = 1;
  CHECK(contains(check_ready(snapshot), "core 0 is draining"));
  snapshot.cores[0].state = CoreState::draining;
  CHECK(check_ready(snapshot).json ==
        "{\"ready\":false,\"reasons\":[{\"core\":0,\"reason\":\"core 0 is draining\"}]}\n");
}
