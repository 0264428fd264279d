// SPDX-License-Identifier: Apache-2.0
#include "core/route/core_map.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace huntd;
using namespace huntd::server;

namespace {
std::vector<uint32_t> shares(const CoreMap& map) {
  std::vector<uint32_t> count(map.cores());
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket) ++count[map.server(bucket)];
  return count;
}

// Each number up to 64, then some up to 256: a map of many cores takes long to make.
uint32_t next(uint32_t cores) { return cores + (cores < 64 ? 1 : 24); }
}  // namespace

TEST_CASE("every core has the same number of buckets, to within one") {
  for (uint32_t cores = 1; cores <= limits::cores_max; cores = next(cores)) {
    std::vector<uint32_t> const count = shares(CoreMap(cores));
    auto const [least, most] = std::minmax_element(count.begin(), count.end());
    CHECK(*most - *least <= 1);
  }
}

TEST_CASE("a new core takes at most 1.2/(N+1) of the buckets; no others move") {
  for (uint32_t cores = 1; cores < limits::cores_max; cores = next(cores)) {
    CoreMap const before(cores);
    CoreMap const after(cores + 1);
    uint32_t moved = 0;
    for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket) {
      if (before.owner(bucket) == after.owner(bucket)) continue;
      ++moved;
      CHECK(after.owner(bucket) == cores);
    }
    CHECK(moved <= 1.2 * limits::buckets / (cores + 1));
    CHECK(moved > 0);
  }
}

TEST_CASE("the buckets of a core that is down spread over the others until it is up") {
  CoreMap map(8);
  map.set_up(3, false);
  std::vector<uint32_t> const count = shares(map);
  CHECK(count[3] == 0);
  for (uint32_t core = 0; core < 8; ++core)
    if (core != 3) {
      CHECK(count[core] > 128);
      CHECK(count[core] < 128 + 64);
    }
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
    if (map.owner(bucket) != 3) CHECK(map.server(bucket) == map.owner(bucket));
  map.set_up(3, true);
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
    CHECK(map.server(bucket) == map.owner(bucket));
}

TEST_CASE("if no core is up, each bucket stays with its owner") {
  CoreMap map(2);
  map.set_up(0, false);
  map.set_up(1, false);
  CHECK(map.server(5) == map.owner(5));
}
