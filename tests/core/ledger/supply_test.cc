// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/supply.h"

#include <doctest/doctest.h>

#include <string>

using namespace huntd;
using namespace huntd::server;

TEST_CASE("the state of a unit names its attempt") {
  for (const char* word : {"pending", "retaken", "settling"}) {
    CAPTURE(word);
    std::string const state = std::string(word) + " 0123 ann key:1/2";
    std::optional<ReservedUnit> const unit = read_unit_state("hunt", state);
    REQUIRE(unit);
    CHECK(unit->settling == (std::string(word) == "settling"));
    CHECK(unit->owner == "0123 ann key:1/2");
    CHECK(unit->name.hunt_id == "hunt");
    CHECK(unit->name.request_id == "0123");
    CHECK(unit->name.hunter_id == "ann");
    CHECK(unit->name.key == "key:1/2");
  }
}

TEST_CASE("a unit that is given, or whose state is malformed, has no attempt") {
  for (const char* state :
       {"given", "", "pending", "pending ", "pending 0123", "pending 0123 ann", "pending 0123 ann ",
        "pending  ann k", "pending 0123  k", "settled 0123 ann k", "Pending 0123 ann k"}) {
    CAPTURE(state);
    CHECK_FALSE(read_unit_state("hunt", state));
  }
}

TEST_CASE("a supply that was enlisted is known for a minute, on the same lineage") {
  EnlistedSupplies enlisted;
  uint64_t const start_ns = 1'000'000'000;
  enlisted.refresh(7, start_ns);
  enlisted.add("hunt:cup");
  enlisted.refresh(7, start_ns + EnlistedSupplies::kept_ns - 1);
  CHECK(enlisted.has("hunt:cup"));
  CHECK_FALSE(enlisted.has("hunt:bowl"));
  enlisted.refresh(7, start_ns + EnlistedSupplies::kept_ns);
  CHECK_FALSE(enlisted.has("hunt:cup"));

  enlisted.add("hunt:cup");
  enlisted.refresh(8, start_ns + EnlistedSupplies::kept_ns);
  CHECK_FALSE(enlisted.has("hunt:cup"));

  enlisted.add("hunt:cup");
  enlisted.remove("hunt:cup");
  CHECK_FALSE(enlisted.has("hunt:cup"));
}

TEST_CASE("no more supplies are known than there is room for") {
  EnlistedSupplies enlisted;
  enlisted.refresh(7, 1);
  size_t known = 0;
  for (size_t i = 0; i < EnlistedSupplies::count_max + 1; ++i)
    enlisted.add(PoolString("hunt:") + PoolString(std::to_string(i)));
  for (size_t i = 0; i < EnlistedSupplies::count_max + 1; ++i)
    known += enlisted.has(PoolString("hunt:") + PoolString(std::to_string(i))) ? 1 : 0;
  CHECK(known == 1);  // the last one
}

TEST_CASE("a reservation is stale only when its request can't commit it any more") {
  CHECK(Supply::stale_after_ms(2000) == 30'000);
  CHECK(Supply::stale_after_ms(20'000) == 30'000);
  CHECK(Supply::stale_after_ms(60'000) == 70'000);
}
