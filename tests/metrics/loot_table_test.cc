// SPDX-License-Identifier: Apache-2.0
#include "metrics/loot_table.h"

#include "base/limits.h"
#include "metrics/loot_json.h"
#include "metrics/shared_region.h"

#include <doctest/doctest.h>

#include <string>

using namespace huntd;

namespace {

SharedRegion region_of(uint32_t cores) {
  Result<SharedRegion> region = SharedRegion::create(cores, "test", 0);
  REQUIRE(region);
  return std::move(*region);
}

}  // namespace

TEST_CASE("loot.json adds the cores up, the most awards first, and the newest look counts") {
  SharedRegion region = region_of(2);
  CHECK(write_loot_json(region, Private::shown) ==
        R"({"loot":[],"no_room":0,"tables":[],"shown":true})");
  LootTable& first = region.core(0).loot;
  LootTable& second = region.core(1).loot;
  first.count("hoard", "coin", 5, 1000);
  second.count("hoard", "coin", 1, 1000);
  second.count("hoard", "crown", 1, 1000);
  first.note_supply("ticket", "gold", 100, 1000);
  second.note_supply("ticket", "gold", 90, 1000);
  first.set_left(*first.next_supply(0), 37, 3000);
  second.set_left(*second.next_supply(0), 40, 2000);
  region.odds().set(R"([{"hunt":"hoard","lines":[]}])");
  CHECK(write_loot_json(region, Private::shown) ==
        R"({"loot":[{"hunt":"hoard","loot":"coin","awards":2,"units":6,"limit":null,"left":null,)"
        R"("left_at_ms":null},{"hunt":"hoard","loot":"crown","awards":1,"units":1,"limit":null,)"
        R"("left":null,"left_at_ms":null},{"hunt":"ticket","loot":"gold","awards":0,"units":0,)"
        R"("limit":100,"left":37,"left_at_ms":3000}],"no_room":0,)"
        R"("tables":[{"hunt":"hoard","lines":[]}],"shown":true})");
  // To other hosts neither names nor odds, and not how many there are.
  CHECK(write_loot_json(region, Private::hidden) ==
        R"({"loot":[],"no_room":0,"tables":[],"shown":false})");
}

TEST_CASE("what is left may be 0, and so may the limit") {
  SharedRegion region = region_of(1);
  LootTable& loot = region.core(0).loot;
  loot.note_supply("hunt", "cup", 0, 1000);
  CHECK_FALSE(loot.rows()[0].left);
  loot.set_left(*loot.next_supply(0), 0, 2000);
  CHECK(loot.rows()[0].limit == 0);
  CHECK(loot.rows()[0].left == 0);
}

TEST_CASE("a walk over the supplies meets each, and no other loot") {
  SharedRegion region = region_of(1);
  LootTable& loot = region.core(0).loot;
  for (int i = 0; i < 20; ++i) {
    loot.count("hunt", "plain-" + std::to_string(i), 1, 1000);
    loot.note_supply("hunt", "cup-" + std::to_string(i), 3, 1000);
  }
  size_t met = 0;
  size_t from = 0;
  while (std::optional<LootTable::SupplyAt> const supply = loot.next_supply(from)) {
    CHECK(supply->copy.loot_id.starts_with("cup-"));
    from = supply->row + 1;
    ++met;
  }
  CHECK(met == 20);
}

TEST_CASE("the table is bounded: the newest loot has a row, and the sum has all awards") {
  SharedRegion region = region_of(1);
  LootTable& loot = region.core(0).loot;
  std::string const hunt(limits::id_bytes_max, 'h');
  constexpr size_t loots = 5000;
  auto const name_of = [](size_t i) {
    std::string name(limits::id_bytes_max, 'l');
    return name.replace(0, 4, std::to_string(10'000 + i).substr(1));
  };
  for (size_t i = 0; i < loots; ++i)
    loot.count(hunt, name_of(i), 1, 1000 + static_cast<int64_t>(i));
  std::vector<LootRow> const rows = loot.rows();
  CHECK(rows.size() <= limits::loots_counted_max);
  CHECK(rows.size() > limits::loots_counted_max / 2);
  uint64_t sum = loot.no_room();
  bool newest = false;
  for (const LootRow& row : rows) {
    sum += row.awards;
    CHECK(row.hunt_id == hunt);
    newest = newest || row.loot_id == name_of(loots - 1);
  }
  CHECK(sum == loots);
  CHECK(newest);
}

TEST_CASE("a look that comes after the row has another loot changes nothing") {
  SharedRegion region = region_of(1);
  LootTable& loot = region.core(0).loot;
  loot.note_supply("hunt", "cup", 9, 1000);
  LootTable::SupplyAt supply = *loot.next_supply(0);
  supply.copy.loot_id = "other";
  loot.set_left(supply, 5, 2000);
  CHECK_FALSE(loot.rows()[0].left);
}
