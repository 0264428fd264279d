// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/hunt_ranking.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/shared_region.h"

using namespace huntd;
using namespace huntd::server;

namespace {

constexpr uint64_t period_ns = limits::hunt_ranking_period_ns;

std::string name_of(size_t number) { return "hunt-" + std::to_string(number); }

// A bundle's hunts hunt-FIRST to hunt-(FIRST + COUNT - 1).
std::vector<BundledHunt> hunts_of(size_t count, size_t first = 0) {
  std::vector<BundledHunt> hunts(count);
  for (size_t i = 0; i < count; ++i) hunts[i].hunt_id = name_of(first + i);
  return hunts;
}

struct World {
  explicit World(size_t hunts) : region(std::move(*SharedRegion::create(1, "test", 0))) {
    ranking.use(hunts_of(hunts));
  }
  void run(std::string_view hunt_id, int times = 1) {
    for (int i = 0; i < times; ++i) ranking.count(hunt_id, HuntOutcome::ok, 1'000'000);
    ran += static_cast<uint64_t>(times);
  }
  void rank() { ranking.rank_if_due(now_ns += period_ns); }
  // The runs of each hunt with a slot.
  std::map<std::string, uint64_t> counted() const {
    std::map<std::string, uint64_t> runs;
    for (const HuntFigures& hunt : table.snapshot().hunts) runs[hunt.hunt_id] = hunt.runs();
    return runs;
  }
  // The runs of the table: those of all hunts together.
  uint64_t sum() const {
    HuntTableSnapshot const copy = table.snapshot();
    uint64_t runs = copy.other.runs() + copy.replaced.runs();
    for (const HuntFigures& hunt : copy.hunts) runs += hunt.runs();
    return runs;
  }

  SharedRegion region;
  HuntTable& table = region.core(0).hunts;
  HuntRanking ranking{table};
  uint64_t ran = 0;
  uint64_t now_ns = 0;
};

}  // namespace

TEST_CASE("each hunt of the bundle gets a slot with its first request") {
  World world(3);
  CHECK(world.counted().empty());
  world.run("hunt-2", 5);
  world.run("hunt-0");
  CHECK(world.counted() == std::map<std::string, uint64_t>{{"hunt-0", 1}, {"hunt-2", 5}});
  CHECK(world.table.snapshot().hunts[0].timed() == 5);
  CHECK(world.table.snapshot().other.runs() == 0);
}

TEST_CASE("a request without a worker counts, and has no duration") {
  World world(1);
  world.ranking.count("hunt-0", HuntOutcome::refused, std::nullopt);
  HuntFigures const hunt = world.table.snapshot().hunts.at(0);
  CHECK(hunt.of(HuntOutcome::refused) == 1);
  CHECK(hunt.timed() == 0);
}

TEST_CASE("names that are not in the bundle count together and get no slot") {
  World world(1);
  for (int i = 0; i < 1000; ++i) world.run("guess-" + std::to_string(i));
  CHECK(world.counted().empty());
  CHECK(world.table.snapshot().other.runs() == 1000);
}

TEST_CASE("hunts above the slots count together, and all add up") {
  World world(HuntTable::slots + 30);
  for (size_t i = 0; i < HuntTable::slots + 30; ++i) world.run(name_of(i), 2);
  CHECK(world.counted().size() == HuntTable::slots);
  CHECK(world.table.snapshot().other.runs() == 60);
  CHECK(world.sum() == world.ran);
}

TEST_CASE("a hunt that has become hot takes the slot of the coldest") {
  World world(HuntTable::slots + 2);
  for (size_t i = 0; i < HuntTable::slots; ++i) world.run(name_of(i), i == 7 ? 1 : 50);
  std::string const hot = name_of(HuntTable::slots);
  world.run(hot, 40);
  CHECK_FALSE(world.counted().contains(hot));
  world.rank();
  CHECK(world.counted().contains(hot));
  CHECK(world.counted()[hot] == 0);  // from now on
  CHECK_FALSE(world.counted().contains("hunt-7"));
  CHECK(world.counted().size() == HuntTable::slots);
  world.run(hot, 3);
  CHECK(world.counted()[hot] == 3);
  CHECK(world.table.snapshot().replaced.runs() == 1);
  CHECK(world.sum() == world.ran);
}

TEST_CASE("a hunt of about the same rate does not take a slot") {
  World world(HuntTable::slots + 1);
  for (int round = 0; round < 20; ++round) {
    for (size_t i = 0; i < HuntTable::slots; ++i) world.run(name_of(i), 20);
    world.run(name_of(HuntTable::slots), 30);
    world.rank();
  }
  CHECK_FALSE(world.counted().contains(name_of(HuntTable::slots)));
}

TEST_CASE("few slots change in one ranking, those of the hottest first") {
  size_t const more = 2 * limits::hunt_replacements_max;
  World world(HuntTable::slots + more);
  for (size_t i = 0; i < HuntTable::slots; ++i) world.run(name_of(i));
  for (size_t i = 0; i < more; ++i)
    world.run(name_of(HuntTable::slots + i), 100 + static_cast<int>(i));
  auto const got_slots = [&] {
    size_t count = 0;
    for (size_t i = 0; i < more; ++i) count += world.counted().count(name_of(HuntTable::slots + i));
    return count;
  };
  world.ranking.rank_if_due(world.now_ns += period_ns);
  CHECK(got_slots() == limits::hunt_replacements_max);
  CHECK(world.counted().contains(name_of(HuntTable::slots + more - 1)));
  CHECK_FALSE(world.counted().contains(name_of(HuntTable::slots)));
  world.ranking.rank_if_due(world.now_ns + period_ns - 1);  // not due
  CHECK(got_slots() == limits::hunt_replacements_max);
  world.rank();
  CHECK(got_slots() == more);
  CHECK(world.sum() == world.ran);
}

TEST_CASE("a hunt that has ended loses its heat") {
  World world(HuntTable::slots + 1);
  for (size_t i = 0; i < HuntTable::slots; ++i) world.run(name_of(i), 1000);
  std::string const later = name_of(HuntTable::slots);
  int rankings = 0;
  for (; !world.counted().contains(later) && rankings < 100; ++rankings) {
    for (size_t i = 1; i < HuntTable::slots; ++i) world.run(name_of(i), 200);
    world.run(later, 50);
    world.rank();
  }
  CHECK(rankings < 100);
  CHECK_FALSE(world.counted().contains("hunt-0"));
  CHECK(world.sum() == world.ran);
}

TEST_CASE("a reload keeps the counts of the hunts that stay") {
  World world(3);
  world.run("hunt-0", 4);
  world.run("hunt-1", 5);
  world.ranking.use(hunts_of(3, 1));  // without hunt-0, with hunt-3
  world.run("hunt-1");
  world.run("hunt-3");
  CHECK(world.counted() ==
        std::map<std::string, uint64_t>{{"hunt-0", 4}, {"hunt-1", 6}, {"hunt-3", 1}});
  world.ranking.use(hunts_of(3));
  world.run("hunt-0");
  CHECK(world.counted()["hunt-0"] == 5);
  CHECK(world.sum() == world.ran);
}

TEST_CASE("a hunt that a reload removed keeps its slot only until it is needed") {
  World world(HuntTable::slots);
  for (size_t i = 0; i < HuntTable::slots; ++i) world.run(name_of(i), i == 0 ? 500 : 100);
  world.ranking.use(hunts_of(HuntTable::slots, 1));  // the last one is new
  world.run("hunt-0", 1000);                         // a client that has not noticed
  std::string const added = name_of(HuntTable::slots);
  world.run(added, 20);
  world.rank();
  CHECK(world.counted().contains(added));
  CHECK_FALSE(world.counted().contains("hunt-0"));
  CHECK(world.sum() == world.ran);
}

TEST_CASE("a core that is started again goes on with its counts") {
  World world(2);
  world.run("hunt-1", 3);
  HuntRanking again(world.table);
  again.use(hunts_of(2));
  again.count("hunt-1", HuntOutcome::ok, std::nullopt);
  again.count("hunt-0", HuntOutcome::failed, std::nullopt);
  CHECK(world.counted() == std::map<std::string, uint64_t>{{"hunt-0", 1}, {"hunt-1", 4}});
}
