// SPDX-License-Identifier: Apache-2.0
#include "aggregator/metrics.h"

#include <thread>

#include "base/clock.h"
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::aggregator;

TEST_CASE("the loop is stuck if it has not run for a minute") {
  Metrics metrics;
  int64_t const started_ms = monotonic_ms();
  CHECK(metrics.stuck(started_ms) == "");  // it starts
  CHECK(metrics.unhealthy() == "starting");
  CHECK(metrics.stuck(started_ms + 60'000) == "");
  CHECK(metrics.stuck(started_ms + 120'000).starts_with("the loop last ran "));
  while (monotonic_ms() == started_ms) std::this_thread::yield();
  metrics.note_alive();
  CHECK(metrics.stuck(monotonic_ms() + 59'000) == "");
  CHECK(metrics.stuck(monotonic_ms() + 120'000).ends_with(" ms ago"));
}
