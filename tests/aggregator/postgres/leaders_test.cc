// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/leaders.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using huntd::aggregator::LeaderKey;
using huntd::aggregator::Leaders;

TEST_CASE("more loot is better, then an earlier last loot, then the smaller id") {
  std::vector<LeaderKey> const best_first = {
      {9, 50, "z"}, {8, 10, "b"}, {8, 10, "c"}, {8, 11, "a"}, {1, 1, "a"}};
  for (size_t i = 0; i < best_first.size(); ++i)
    for (size_t j = 0; j < best_first.size(); ++j)
      CHECK(best_first[i].better_than(best_first[j]) == (i < j));
}

TEST_CASE("without an entry each new hunter is a leader, as is each who has a row") {
  Leaders leaders;
  leaders.add("hunt", {1, 5, "new"}, std::nullopt);
  CHECK(leaders.grown() == std::vector<std::string>{"hunt"});
  Leaders others;
  others.add("hunt", {2, 5, "known"}, 1);
  CHECK(others.grown().empty());
}
