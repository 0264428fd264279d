// SPDX-License-Identifier: Apache-2.0
#include "metrics/hunt_table.h"

#include "metrics/shared_region.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

using namespace huntd;

namespace {

using Layout = HuntDurationLayout;

SharedRegion region_of_one_core() {
  Result<SharedRegion> region = SharedRegion::create(1, "test", 0);
  REQUIRE(region);
  return std::move(*region);
}

uint64_t all_runs(const HuntTableSnapshot& copy) {
  uint64_t runs = copy.other.runs() + copy.replaced.runs();
  for (const HuntFigures& hunt : copy.hunts) runs += hunt.runs();
  return runs;
}

}  // namespace

TEST_CASE("the bounds of the cells ascend by at most 15 %") {
  for (size_t i = 1; i < Layout::bounds_ns.size(); ++i) {
    CHECK(Layout::bounds_ns[i] > Layout::bounds_ns[i - 1]);
    CHECK(Layout::bounds_ns[i] * 100 <= Layout::bounds_ns[i - 1] * 115);
  }
}

TEST_CASE("a value is in the cell whose bounds are around it") {
  CHECK(Layout::index_of(0) == 0);
  CHECK(Layout::index_of(10'000) == 0);
  CHECK(Layout::index_of(10'001) == 1);
  for (size_t i = 0; i < Layout::bounds_ns.size(); ++i) {
    CHECK(Layout::index_of(Layout::bounds_ns[i]) == i);
    CHECK(Layout::index_of(Layout::bounds_ns[i] + 1) == i + 1);
  }
  CHECK(Layout::index_of(UINT64_MAX) == Layout::cells - 1);
}

TEST_CASE("a hunt has its outcomes, its durations and their percentiles") {
  SharedRegion region = region_of_one_core();
  HuntTable& table = region.core(0).hunts;
  CHECK(table.snapshot().hunts.empty());
  table.assign(0, "gold");
  for (int i = 0; i < 98; ++i) table.record(0, 990'000);
  table.record(0, 7'000'000);
  table.record(0, UINT64_MAX);  // a wrong clock reading does not spoil the sum
  table.count(0, HuntOutcome::ok);
  table.count(0, HuntOutcome::ok);
  table.count(0, HuntOutcome::failed);
  table.count(HuntTable::other, HuntOutcome::refused);
  HuntTableSnapshot const copy = table.snapshot();
  REQUIRE(copy.hunts.size() == 1);
  const HuntFigures& gold = copy.hunts[0];
  CHECK(gold.hunt_id == "gold");
  CHECK(gold.of(HuntOutcome::ok) == 2);
  CHECK(gold.of(HuntOutcome::failed) == 1);
  CHECK(gold.runs() == 3);
  CHECK(gold.timed() == 100);
  CHECK(gold.timed_up_to(900'000) == 0);
  CHECK(gold.timed_up_to(1'000'000) == 98);
  CHECK(gold.percentile_ns(0) == 1'000'000);
  CHECK(gold.percentile_ns(98) == 1'000'000);
  CHECK(gold.percentile_ns(99) == 7'100'000);
  CHECK(gold.percentile_ns(100) == 100'000'000'000);
  CHECK(gold.sum_ns == 98 * 990'000ULL + 7'000'000 + 100'000'000'000);
  CHECK(copy.other.of(HuntOutcome::refused) == 1);
  CHECK(HuntFigures().percentile_ns(99) == 0);
}

TEST_CASE("a hunt that takes a slot starts at 0, and no count is lost") {
  SharedRegion region = region_of_one_core();
  HuntTable& table = region.core(0).hunts;
  table.assign(0, std::string(limits::id_bytes_max, 'x'));
  for (int i = 0; i < 7; ++i) table.count(0, HuntOutcome::ok);
  table.record(0, 5'000'000);
  CHECK(table.snapshot().hunts[0].hunt_id == std::string(limits::id_bytes_max, 'x'));
  table.assign(0, "b");
  table.count(0, HuntOutcome::failed);
  HuntTableSnapshot const copy = table.snapshot();
  REQUIRE(copy.hunts.size() == 1);
  CHECK(copy.hunts[0].hunt_id == "b");
  CHECK(copy.hunts[0].runs() == 1);
  CHECK(copy.hunts[0].timed() == 0);
  CHECK(copy.replaced.of(HuntOutcome::ok) == 7);
  CHECK(copy.replaced.sum_ns == 5'000'000);
  CHECK(copy.other.runs() == 0);
  CHECK(all_runs(copy) == 8);
}

TEST_CASE("a concurrent reader sees whole hunts while they take each other's slot") {
  SharedRegion region = region_of_one_core();
  constexpr uint64_t rounds = 2000;
  constexpr uint64_t runs_per_round = 2000;  // the reader needs time between two changes
  HuntTable& table = region.core(0).hunts;
  table.assign(0, "even");
  pid_t const writer = fork();
  REQUIRE(writer >= 0);
  if (writer == 0) {
    // "even" only has requests that are ok, "odd" only those that failed.
    for (uint64_t round = 0; round < rounds; ++round) {
      for (uint64_t run = 0; run < runs_per_round; ++run)
        table.count(0, round % 2 == 0 ? HuntOutcome::ok : HuntOutcome::failed);
      table.assign(0, round % 2 == 0 ? "odd" : "even");
    }
    _exit(0);
  }
  bool mixed = false;
  uint64_t seen = 0;
  bool back = false;
  while (seen < rounds * runs_per_round) {
    HuntTableSnapshot const copy = table.snapshot();
    const HuntFigures& hunt = copy.hunts.at(0);
    HuntOutcome const wrong = hunt.hunt_id == "even" ? HuntOutcome::failed : HuntOutcome::ok;
    mixed = mixed || hunt.of(wrong) != 0;
    back = back || all_runs(copy) < seen;
    seen = all_runs(copy);
  }
  int status = 0;
  REQUIRE(waitpid(writer, &status, 0) == writer);
  CHECK_FALSE(mixed);
  CHECK_FALSE(back);
  CHECK(seen == rounds * runs_per_round);
}

TEST_CASE("a table whose writer died in a change is repaired, with all its counts") {
  SharedRegion region = region_of_one_core();
  HuntTable& table = region.core(0).hunts;
  table.assign(0, "a");
  table.assign(1, "b");
  table.count(0, HuntOutcome::ok);
  table.count(1, HuntOutcome::refused);
  table.repair();  // nothing to do
  CHECK(table.snapshot().hunts.size() == 2);
  // What the writer does first: its version, the object's first word, becomes odd.
  uint64_t version;
  std::memcpy(&version, static_cast<void*>(&table), sizeof version);
  ++version;
  std::memcpy(static_cast<void*>(&table), &version, sizeof version);
  CHECK(all_runs(table.snapshot()) == 2);  // readers do not wait for the repair
  table.repair();
  HuntTableSnapshot const copy = table.snapshot();
  CHECK(copy.hunts.empty());
  CHECK(copy.replaced.of(HuntOutcome::ok) == 1);
  CHECK(copy.replaced.of(HuntOutcome::refused) == 1);
  table.assign(0, "c");
  CHECK(table.snapshot().hunts.at(0).runs() == 0);
}

TEST_CASE("each outcome of huntd_hunts_total has a class, and no other counter has one") {
  CHECK(hunt_outcome_of(Counter::hunts_replayed) == HuntOutcome::ok);
  CHECK(hunt_outcome_of(Counter::hunts_outcome_unknown) == HuntOutcome::failed);
  CHECK(hunt_outcome_of(Counter::hunts_rejected) == HuntOutcome::refused);
  CHECK_FALSE(hunt_outcome_of(Counter::hunts_owner));
  CHECK_FALSE(hunt_outcome_of(Counter::ticks));
}
