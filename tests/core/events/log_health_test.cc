// SPDX-License-Identifier: Apache-2.0
#include "core/events/log_health.h"

#include <doctest/doctest.h>

#include <memory>

#include "base/limits.h"

using namespace huntd;
using namespace huntd::server;

namespace {

struct Fixture {
  std::unique_ptr<CoreMetrics> metrics = std::make_unique<CoreMetrics>();
  LogHealth health{*metrics};
  bool up() const { return metrics->value(Gauge::kafka_up) == 1; }
  std::string reason() const { return metrics->kafka_reason.get(); }
};

constexpr uint64_t second = 1'000'000'000;

}  // namespace

TEST_CASE("a log of which nothing is known is up") {
  Fixture f;
  f.health.watch(second, 0);
  CHECK(f.up());
  CHECK(f.reason() == "");
}

TEST_CASE("a log that cannot be reached is down until it can be reached") {
  Fixture f;
  f.health.on_reachable("all brokers are down: Connection refused");
  CHECK_FALSE(f.up());
  CHECK(f.reason() == "all brokers are down: Connection refused");
  f.health.on_reachable("");
  CHECK(f.up());
  CHECK(f.reason() == "");
}

TEST_CASE("a log that can be reached and stores nothing is down until it stores an event") {
  Fixture f;
  f.health.on_failed("not enough replicas");
  f.health.on_reachable("");
  CHECK_FALSE(f.up());
  CHECK(f.reason() == "not enough replicas");
  f.health.on_stored(second);
  CHECK(f.up());
}

TEST_CASE("a log that is silent while events wait is down until it stores an event") {
  Fixture f;
  uint64_t const limit = limits::log_silence_max_ns;
  f.health.watch(second, 3);
  f.health.watch(second + limit - 1, 3);
  CHECK(f.up());
  f.health.watch(second + limit, 3);
  CHECK_FALSE(f.up());
  CHECK(f.reason() == "no event was acknowledged for 5 s");
  f.health.on_stored(second + limit);
  CHECK(f.up());
  f.health.watch(second + 2 * limit - 1, 2);
  CHECK(f.up());
}

TEST_CASE("a log that has nothing to store is not silent") {
  Fixture f;
  for (uint64_t now = 0; now < 100 * second; now += second) {
    f.health.watch(now, now % (2 * second) == 0 ? 1 : 0);
    CHECK(f.up());
  }
}
