// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/standing_queue.h"

#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::server;

namespace {
constexpr uint64_t ms = 1'000'000;
constexpr uint64_t target = 20 * ms;
}  // namespace

TEST_CASE("a slow queue that was not empty for half a second is a standing queue") {
  StandingQueue queue;
  queue.on_first(1000 * ms);
  CHECK_FALSE(queue.standing(1499 * ms, true));
  CHECK_FALSE(queue.standing(1600 * ms, false));
  CHECK(queue.standing(1600 * ms, true));
}

TEST_CASE("a standing queue stays one until half a second passes without a rejection") {
  StandingQueue queue;
  queue.on_first(0);
  CHECK(queue.standing(600 * ms, true));
  queue.on_rejected(900 * ms);
  queue.on_first(1300 * ms);
  CHECK(queue.standing(1399 * ms, false));
  CHECK(queue.rejecting(1399 * ms));
  CHECK_FALSE(queue.rejecting(1400 * ms));
  CHECK_FALSE(queue.standing(1400 * ms, false));
  CHECK_FALSE(queue.standing(1500 * ms, true));  // a burst again
}

TEST_CASE("a standing queue has room for what the last whole window served, at least one") {
  StandingQueue queue;
  CHECK(queue.room(0, target) == 1);
  for (uint64_t at = 100; at < 120; at += 2) queue.on_served(at * ms, target);
  CHECK(queue.room(119 * ms, target) == 1);  // the window is not over
  CHECK(queue.room(121 * ms, target) == 10);
  queue.on_served(125 * ms, target);
  CHECK(queue.room(130 * ms, target) == 10);
  CHECK(queue.room(141 * ms, target) == 1);
  CHECK(queue.room(500 * ms, target) == 1);  // long ago
}
