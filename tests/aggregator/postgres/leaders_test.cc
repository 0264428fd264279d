// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/leaders.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "aggregator/sessions/aggregator_limits.h"

using huntd::aggregator::BatchSession;
using huntd::aggregator::LeaderKey;
using huntd::aggregator::LeaderKeys;
using huntd::aggregator::Leaders;
using huntd::aggregator::likely_leaders_first;

TEST_CASE("more loot is better, then an earlier last loot, then the smaller id") {
  std::vector<LeaderKey> const best_first = {
      {9, 50, "z"}, {8, 10, "b"}, {8, 10, "c"}, {8, 11, "a"}, {1, 1, "a"}};
  for (size_t i = 0; i < best_first.size(); ++i)
    for (size_t j = 0; j < best_first.size(); ++j)
      CHECK(best_first[i].better_than(best_first[j]) == (i < j));
}

TEST_CASE("without an entry each new hunter is a leader, as is each who has a row") {
  LeaderKeys const none;
  Leaders leaders(none);
  leaders.add("hunt", {1, 5, "new"}, std::nullopt);
  CHECK(leaders.grown() == std::vector<std::string>{"hunt"});
  Leaders others(none);
  others.add("hunt", {2, 5, "known"}, 1);
  CHECK(others.grown().empty());
}

TEST_CASE("of a hunt with many, the sessions with the most events come first, in order") {
  constexpr size_t many = 2 * huntd::limits::leaders_kept;
  std::vector<std::string> hunters;
  for (size_t i = 0; i < many; ++i) hunters.push_back(std::to_string(100'000 + i));
  std::vector<BatchSession> sessions;
  for (size_t i = 0; i < many; ++i) {
    // One of ten has five events, the others two.
    sessions.push_back({hunters[i], "big", nullptr, i % 10 == 0 ? 5U : 2U});
    if (i < 3) sessions.push_back({hunters[i], "small", nullptr, 100});
  }
  size_t const first = likely_leaders_first(sessions);
  CHECK(first == huntd::limits::leaders_kept);
  CHECK(sessions.size() == many + 3);
  auto const in_order = [](const BatchSession& a, const BatchSession& b) {
    return std::pair(a.hunter_id, a.hunt_id) < std::pair(b.hunter_id, b.hunt_id);
  };
  auto const others = sessions.begin() + static_cast<ptrdiff_t>(first);
  CHECK(std::is_sorted(sessions.begin(), others, in_order));
  CHECK(std::is_sorted(others, sessions.end(), in_order));
  auto const best = [](const BatchSession& session) {
    return session.hunt_id == "big" && session.event_count == 5;
  };
  CHECK(std::count_if(sessions.begin(), others, best) == many / 10);
  CHECK(std::count_if(others, sessions.end(), best) == 0);
}
