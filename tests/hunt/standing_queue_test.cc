#include "hunt/standing_queue.h"

#include <doctest/doctest.h>

using namespace huntd;

namespace {
constexpr uint64_t ms = 1'000'000;
constexpr uint64_t target = 20 * ms;
}  // namespace

TEST_CASE("a queue stands once it was not empty for half a second and its oldest waits too long") {
  StandingQueue queue;
  queue.on_first(1000 * ms);
  CHECK_FALSE(queue.stands(1499 * ms, true));
  CHECK_FALSE(queue.stands(1600 * ms, false));
  CHECK(queue.stands(1600 * ms, true));
}

TEST_CASE("it stands until nobody was refused for half a second, however empty it was meanwhile") {
  StandingQueue queue;
  queue.on_first(0);
  CHECK(queue.stands(600 * ms, true));
  queue.on_refused(900 * ms);
  queue.on_first(1300 * ms);
  CHECK(queue.stands(1399 * ms, false));
  CHECK_FALSE(queue.stands(1400 * ms, false));
  CHECK_FALSE(queue.stands(1500 * ms, true));  // a burst again
}

TEST_CASE("as many may wait as were served in the last whole target, and never none") {
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
