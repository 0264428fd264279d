// SPDX-License-Identifier: Apache-2.0
#include "metrics/shared_region.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>

using namespace huntd;

namespace {

SharedRegion region_of(uint32_t cores) {
  Result<SharedRegion> region = SharedRegion::create(cores, "1.2.3", 1'700'000'000'000);
  REQUIRE(region);
  return std::move(*region);
}

// Runs `body` in a child, as a core process would.
pid_t in_child(const std::function<void()>& body) {
  pid_t const child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  REQUIRE(child > 0);
  return child;
}

void wait_for(pid_t child) {
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
}

}  // namespace

TEST_CASE("a new region has its cores, its version and nothing counted") {
  SharedRegion const region = region_of(3);
  MetricsSnapshot const snapshot = take_snapshot(region);
  CHECK(snapshot.version == "1.2.3");
  CHECK(snapshot.started_at_ms == 1'700'000'000'000);
  REQUIRE(snapshot.cores.size() == 3);
  for (const CoreSnapshot& core : snapshot.cores) {
    CHECK(core.state == CoreState::starting);
    CHECK(core.restarts == 0);
    CHECK(core.bundle.empty());
    CHECK(core.value(Counter::hunts_ok) == 0);
    CHECK(core.stages[0].count() == 0);
  }
}

TEST_CASE("the parent reads what each core process wrote") {
  SharedRegion region = region_of(2);
  for (uint32_t index : {0U, 1U})
    wait_for(in_child([&] {
      CoreMetrics& core = region.core(index);
      core.note_start(getpid(), index, 5);
      core.set_state(CoreState::ready);
      core.bundle.set("0123456789abcdef0123456789abcdef");
      core.add(Counter::hunts_ok, index + 1);
      core.set(Gauge::redis_up, 1);
      core.record(Stage::script, 1'000'000 * (index + 1));
    }));
  MetricsSnapshot const snapshot = take_snapshot(region);
  for (uint64_t index : {0U, 1U}) {
    const CoreSnapshot& core = snapshot.cores[index];
    CHECK(core.state == CoreState::ready);
    CHECK(core.pid != 0);
    CHECK(core.cpu == index);
    CHECK(core.bundle == "0123456789abcdef0123456789abcdef");
    CHECK(core.value(Counter::hunts_ok) == index + 1);
    CHECK(core.value(Gauge::redis_up) == 1);
    const HistogramSnapshot& script = core.stages[static_cast<size_t>(Stage::script)];
    CHECK(script.count() == 1);
    CHECK(script.sum_ns() == 1'000'000 * (index + 1));
  }
}

TEST_CASE("a core's restart keeps its counters, clears its gauges and is counted") {
  SharedRegion region = region_of(1);
  CoreMetrics& core = region.core(0);
  core.note_start(10, 0, 5);
  core.starts.store(1);
  core.add(Counter::hunts_ok, 7);
  core.set(Gauge::connections_open, 9);
  core.note_end();
  CHECK(core.state() == CoreState::down);
  CHECK(core.value(Gauge::connections_open) == 0);
  core.note_start(11, 0, 6);
  core.starts.store(2);
  CoreSnapshot const copy = take_snapshot(region, SnapshotDepth::without_histograms).cores[0];
  CHECK(copy.restarts == 1);
  CHECK(copy.state == CoreState::starting);
  CHECK(copy.pid == 11);
  CHECK(copy.value(Counter::hunts_ok) == 7);
}

TEST_CASE("a concurrent reader sees no count go back and no torn name") {
  SharedRegion region = region_of(1);
  std::string const first(32, 'a');
  std::string const second(32, 'b');
  constexpr uint64_t records = 200'000;
  pid_t const writer = in_child([&] {
    CoreMetrics& core = region.core(0);
    for (uint64_t i = 0; i < records; ++i) {
      core.record(Stage::tick, i * 131);
      core.add(Counter::ticks);
      core.bundle.set(i % 2 == 0 ? first : second);
    }
  });
  uint64_t seen_count = 0;
  uint64_t seen_ticks = 0;
  bool back = false;
  bool torn = false;
  while (seen_ticks < records) {
    CoreSnapshot const copy = take_snapshot(region).cores[0];
    uint64_t const count = copy.stages[static_cast<size_t>(Stage::tick)].count();
    uint64_t const ticks = copy.value(Counter::ticks);
    back = back || count < seen_count || ticks < seen_ticks;
    for (int i = 0; i < 200; ++i) {
      std::string const name = region.core(0).bundle.get();
      torn = torn || (name != first && name != second && !name.empty());
    }
    seen_count = count;
    seen_ticks = ticks;
  }
  wait_for(writer);
  CHECK_FALSE(back);
  CHECK_FALSE(torn);
  CHECK(take_snapshot(region).cores[0].stages[static_cast<size_t>(Stage::tick)].count() == records);
}

TEST_CASE("a name that is too long is cut") {
  SharedRegion region = region_of(1);
  region.core(0).bundle.set(std::string(40, 'x'));
  CHECK(region.core(0).bundle.get() == std::string(32, 'x'));
}

TEST_CASE("a name whose writer died in mid-write reads as empty") {
  SharedRegion region = region_of(1);
  SharedName& name = region.core(0).bundle;
  name.set("one");
  // What the writer does first: its version, the object's first word, becomes odd.
  uint64_t version;
  std::memcpy(&version, &name, sizeof version);
  ++version;
  std::memcpy(static_cast<void*>(&name), &version, sizeof version);
  CHECK(name.get() == "");
  name.set("two");
  CHECK(name.get() == "two");
  name.set("three");
  CHECK(name.get() == "three");
}

TEST_CASE("a concurrent reader sees one reload at a time, with its error") {
  SharedRegion region = region_of(1);
  constexpr uint64_t reloads = 20'000;
  auto const error_of = [](uint64_t number) {
    return std::string(number % 1500, static_cast<char>('a' + number % 26));
  };
  pid_t const writer = in_child([&] {
    for (uint64_t number = 1; number <= reloads; ++number) {
      ReloadStatus status;
      status.started = status.finished = number;
      status.result = number % 2 == 0 ? ReloadResult::applied : ReloadResult::rejected;
      status.error = error_of(number);
      region.reload().set(status);
    }
  });
  bool torn = false;
  uint64_t seen = 0;
  while (seen < reloads) {
    ReloadStatus const status = region.reload().get();
    torn = torn || status.finished < seen || status.error != error_of(status.finished) ||
           (status.finished > 0 &&
            (status.result == ReloadResult::applied) != (status.finished % 2 == 0));
    seen = std::max(seen, status.finished);
  }
  wait_for(writer);
  CHECK_FALSE(torn);
}

TEST_CASE("the status of a reload keeps each member, and cuts only a long error") {
  SharedRegion region = region_of(1);
  CHECK(region.reload().get().result == ReloadResult::none);
  ReloadStatus status;
  status.started = 8;
  status.finished = 7;
  status.result = ReloadResult::rejected;
  status.at_ms = 1'700'000'000'123;
  status.applied = 4;
  status.rejected = 3;
  status.serves_saved = true;
  status.error = "a.lua:1: first\nb.lua:2: \"second\"";
  status.waiting_keys = {"cores.count", "kafka.\"queue.buffering.max.ms\""};
  region.reload().set(status);
  ReloadStatus const copy = take_snapshot(region).reload;
  CHECK(copy.started == 8);
  CHECK(copy.finished == 7);
  CHECK(copy.result == ReloadResult::rejected);
  CHECK(copy.at_ms == 1'700'000'000'123);
  CHECK(copy.applied == 4);
  CHECK(copy.rejected == 3);
  CHECK(copy.serves_saved);
  CHECK(copy.bundle.empty());
  CHECK(copy.waiting_keys == status.waiting_keys);
  CHECK(copy.error == status.error);
  status.bundle = "0123456789abcdef0123456789abcdef";
  status.error = std::string(limits::reload_error_bytes_max + 1, 'x');
  region.reload().set(status);
  ReloadStatus const cut = region.reload().get();
  CHECK(cut.bundle == status.bundle);
  CHECK(cut.error.size() == limits::reload_error_bytes_max);
  CHECK(cut.error.ends_with("x\n[truncated: the log has all]"));
}
