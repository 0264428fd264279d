// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <map>
#include <vector>

#include "schedule.h"
#include "tally.h"

using namespace huntd::load;

namespace {

constexpr uint64_t ms = 1'000'000;
constexpr uint64_t start_ns = 5'000 * ms;

Schedule started(double rate, uint32_t connections, uint64_t total, uint64_t seed = 1) {
  Schedule schedule(rate, connections, total, seed);
  schedule.start(start_ns);
  return schedule;
}

}  // namespace

TEST_CASE("request k is due at start + k / rate, independent of polling") {
  Schedule schedule = started(1000, 4, 10);
  CHECK_FALSE(schedule.come_due(start_ns - 1).has_value());
  CHECK(schedule.come_due(start_ns).has_value());
  CHECK_FALSE(schedule.come_due(start_ns + ms - 1).has_value());
  CHECK(schedule.next_due_ns() == start_ns + ms);
  int late = 0;  // one look after a long silence finds all that came due in it
  while (schedule.come_due(start_ns + 5 * ms)) ++late;
  CHECK(late == 5);
  while (schedule.come_due(UINT64_MAX - 1)) ++late;
  CHECK(late == 9);
  CHECK(schedule.come() == 10);
  CHECK(schedule.next_due_ns() == UINT64_MAX);
}

TEST_CASE("the seed fixes the order of requests over connections") {
  auto const order_of = [](uint64_t seed) {
    Schedule schedule = started(1000, 50, 100, seed);
    std::vector<uint32_t> order;
    while (auto const connection = schedule.come_due(UINT64_MAX - 1)) order.push_back(*connection);
    return order;
  };
  auto const order = order_of(7);
  REQUIRE(order.size() == 100);
  std::map<uint32_t, int> turns;
  for (size_t i = 0; i < order.size(); ++i) {
    ++turns[order[i]];
    CHECK(order[i] == order[i % 50]);
  }
  CHECK(turns.size() == 50);
  CHECK(order == order_of(7));
  CHECK(order != order_of(8));
}

TEST_CASE("a stalled connection's requests keep their intended times, oldest first") {
  Schedule schedule = started(1000, 4, 40);
  std::map<uint32_t, std::vector<uint64_t>> due;
  for (uint64_t k = 0; k < 40; ++k) {
    auto const connection = schedule.come_due(start_ns + k * ms);
    REQUIRE(connection.has_value());
    due[*connection].push_back(start_ns + k * ms);
  }
  for (const auto& [connection, times] : due) {
    REQUIRE(times.size() == 10);
    for (uint64_t const time : times) {
      REQUIRE(schedule.waits(connection));
      CHECK(schedule.take(connection) == time);
    }
    CHECK_FALSE(schedule.waits(connection));
  }
}

TEST_CASE("open-loop latency counts from the intended time, also in a stall") {
  // One connection, 100 requests per second. The server needs 1 ms per request, but stalls from
  // 1,000 to 2,000 ms; then it responds to the waiting requests, one per millisecond.
  Schedule schedule = started(100, 1, 400);
  Tally tally;
  tally.start(start_ns, start_ns + 4'000 * ms, 10'000 * ms);
  uint64_t in_flight = 0;  // when it was due; 0 for none
  for (uint64_t now_ns = start_ns; now_ns < start_ns + 5'000 * ms; now_ns += ms) {
    bool const stalls = now_ns >= start_ns + 1'000 * ms && now_ns < start_ns + 2'000 * ms;
    if (in_flight != 0 && !stalls) {
      tally.answered(in_flight, now_ns, 200, 1);
      in_flight = 0;
    }
    while (schedule.come_due(now_ns)) continue;
    if (in_flight == 0 && schedule.waits(0)) {
      in_flight = schedule.take(0);
      tally.sent(in_flight);
    }
  }
  CHECK(tally.measured().answered == 400);
  CHECK(tally.measured().events == 400);
  auto const latencies = tally.all().snapshot();
  CHECK(latencies.count() == 400);
  // A closed loop would see one slow answer. Here all that came due in the stall are slow.
  CHECK(latencies.percentile_ns(50) < 2 * ms);
  CHECK(latencies.percentile_ns(90) > 500 * ms);
  CHECK(latencies.max_ns() > 995 * ms);
  CHECK(latencies.max_ns() < 1'005 * ms);
}

TEST_CASE("the warm-up is counted and not measured") {
  Tally tally;
  tally.start(start_ns, start_ns + 1'000 * ms, 10'000 * ms);
  tally.sent(start_ns - ms);
  tally.answered(start_ns - ms, start_ns + ms, 200, 2);
  tally.late(start_ns - ms, start_ns);
  CHECK(tally.measured().answered == 0);
  CHECK(tally.all().snapshot().count() == 0);
  CHECK(tally.lateness().snapshot().count() == 0);
  CHECK(tally.whole().ok == 1);
  CHECK(tally.whole().events == 2);
  CHECK(tally.ok_in_time() == 1);
  CHECK(tally.answered_in_time() == 1);  // a rate counts answers when they come
}

TEST_CASE("responses are counted by status; all but 200 and 422 are errors") {
  Tally tally;
  tally.start(start_ns, start_ns + 1'000 * ms, 10'000 * ms);
  for (int const status : {200, 200, 422, 503, 424, 503, 500})
    tally.answered(start_ns, start_ns + static_cast<uint64_t>(status) * ms, status, 0);
  const Counts& counts = tally.measured();
  CHECK(counts.ok == 2);
  CHECK(counts.rejected == 1);
  CHECK(counts.unavailable == 3);
  CHECK(counts.errors() == 4);
  CHECK(counts.statuses[503] == 2);
  CHECK(tally.admitted().snapshot().count() == 2);
  CHECK(tally.admitted().snapshot().max_ns() < 201 * ms);
  CHECK(tally.unavailable().snapshot().count() == 3);
  CHECK(tally.all().snapshot().count() == 7);
}

TEST_CASE("a request without a response is an error of at least the timeout") {
  Tally tally;
  tally.start(start_ns, start_ns + 1'000 * ms, 10'000 * ms);
  tally.lost(start_ns, start_ns + 20 * ms, Loss::broken);
  tally.lost(start_ns, start_ns + 20 * ms, Loss::unparseable);
  tally.lost(start_ns, start_ns + 10'500 * ms, Loss::unanswered);
  CHECK(tally.measured().errors() == 3);
  auto const latencies = tally.all().snapshot();
  CHECK(latencies.percentile_ns(1) >= 10'000 * ms);
  CHECK(latencies.max_ns() >= 10'500 * ms);
}
