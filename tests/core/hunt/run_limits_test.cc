// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/run_limits.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace huntd::server {
namespace {

constexpr uint64_t hour_ns = 3600 * ns_per_s;

RunRules rules_of(uint32_t per_hour, uint32_t per_day, uint32_t in_flight_max = 0) {
  RunRules rules;
  rules.per_hour = per_hour;
  rules.per_day = per_day;
  rules.in_flight_max = in_flight_max;
  return rules;
}

}  // namespace

TEST_CASE("a hunter has the runs of an hour from the first one on") {
  RunLimits limits(7);
  RunRules const rules = rules_of(2, 0);
  uint64_t const first_ns = 10 * hour_ns;
  CHECK(limits.wait(rules, "chest", "ann", first_ns).ns == 0);
  limits.count(rules, "chest", "ann", first_ns);
  limits.count(rules, "chest", "ann", first_ns + 5);
  RunLimits::Wait const wait = limits.wait(rules, "chest", "ann", first_ns + 100);
  CHECK((wait.ns == hour_ns - 100 && wait.limit == "per_hour"));
  CHECK(limits.wait(rules, "chest", "ben", first_ns + 100).ns == 0);
  CHECK(limits.wait(rules, "gold", "ann", first_ns + 100).ns == 0);
  CHECK(limits.wait(rules, "chest", "ann", first_ns + hour_ns).ns == 0);
  limits.count(rules, "chest", "ann", first_ns + hour_ns);
  CHECK(limits.wait(rules, "chest", "ann", first_ns + hour_ns).ns == 0);
}

TEST_CASE("the longer wait counts, and a day has 24 hours") {
  RunLimits limits(7);
  RunRules const rules = rules_of(1, 2);
  limits.count(rules, "chest", "ann", 0);
  CHECK(limits.wait(rules, "chest", "ann", 1).limit == "per_hour");
  limits.count(rules, "chest", "ann", hour_ns);
  RunLimits::Wait const wait = limits.wait(rules, "chest", "ann", hour_ns);
  CHECK((wait.ns == 23 * hour_ns && wait.limit == "per_day"));
  CHECK(limits.wait(rules_of(0, 0), "chest", "ann", hour_ns).ns == 0);
}

TEST_CASE("more windows than are remembered drop the oldest") {
  RunWindows windows(hour_ns, 8);
  for (uint64_t key = 0; key < 100; ++key) windows.count(key, 1);
  CHECK(windows.size() <= 8);
  CHECK(windows.wait_ns(99, 1, 1) > 0);
  CHECK(windows.wait_ns(0, 1, 1) == 0);
}

TEST_CASE("a hunt that exceeds its deadline again and again yields, until a run does not") {
  RunLimits limits(7);
  limits.use("first");
  for (int i = 0; i < 4; ++i) {
    CHECK_FALSE(limits.must_yield("loop", 100));
    limits.note_end("first", "loop", true);
  }
  CHECK(limits.must_yield("loop", 100));
  CHECK_FALSE(limits.must_yield("gold", 101));
  CHECK(limits.must_yield("loop", 99 + 5 * ns_per_s));
  CHECK_FALSE(limits.must_yield("loop", 100 + 5 * ns_per_s));  // looks if that is over
  CHECK(limits.must_yield("loop", 101 + 5 * ns_per_s));
  limits.note_end("first", "loop", false);
  CHECK_FALSE(limits.must_yield("loop", 102 + 5 * ns_per_s));
}

TEST_CASE("a hunt that goes on looping has a run that does not yield less and less often") {
  RunLimits limits(7);
  limits.use("first");
  for (int i = 0; i < 4; ++i) limits.note_end("first", "loop", true);
  CHECK(limits.must_yield("loop", 0));
  uint64_t now_ns = 0;
  for (uint64_t const wait_s : {5, 10, 20, 40, 80, 160, 320, 320}) {
    now_ns += wait_s * ns_per_s;
    CHECK(limits.must_yield("loop", now_ns - 1));
    CHECK_FALSE(limits.must_yield("loop", now_ns));
    CHECK(limits.must_yield("loop", now_ns));
    limits.note_end("first", "loop", true);
  }
}

TEST_CASE("a hunt of another bundle does not yield because of its runs before") {
  RunLimits limits(7);
  limits.use("first");
  for (int i = 0; i < 4; ++i) limits.note_end("first", "loop", true);
  CHECK(limits.must_yield("loop", 0));
  CHECK_FALSE(limits.must_yield("loop", 5 * ns_per_s));  // the next one would be 10 s later
  limits.use("first");
  CHECK(limits.must_yield("loop", 6 * ns_per_s));

  limits.use("corrected");
  CHECK_FALSE(limits.must_yield("loop", 6 * ns_per_s));
  // These started before.
  for (int i = 0; i < 4; ++i) limits.note_end("first", "loop", true);
  CHECK_FALSE(limits.must_yield("loop", 7 * ns_per_s));

  for (int i = 0; i < 4; ++i) limits.note_end("corrected", "loop", true);
  limits.note_end("first", "loop", false);
  CHECK(limits.must_yield("loop", 8 * ns_per_s));
  CHECK_FALSE(limits.must_yield("loop", 13 * ns_per_s));  // after 5 s, not after 20 s
}

TEST_CASE("a hunt has as many runs at the same time as it may, and others are not concerned") {
  RunLimits limits(7);
  RunRules const rules = rules_of(0, 0, 2);
  auto const one = std::make_unique<RunLimits::InFlight>(limits, rules, "chest");
  auto two = std::make_unique<RunLimits::InFlight>(limits, rules, "chest");
  CHECK((one->admitted() && two->admitted()));
  CHECK_FALSE(RunLimits::InFlight(limits, rules, "chest").admitted());
  CHECK(RunLimits::InFlight(limits, rules, "gold").admitted());
  CHECK(RunLimits::InFlight(limits, rules_of(0, 0), "chest").admitted());
  two.reset();
  CHECK(RunLimits::InFlight(limits, rules, "chest").admitted());
}

}  // namespace huntd::server
