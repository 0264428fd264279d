// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "huntctl/text_table.h"
#include "huntctl/top_keys.h"
#include "huntctl/top_view.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd::huntctl;

namespace {

StageLatency stage_with(const char* name, uint64_t count) {
  StageLatency stage;
  stage.stage = name;
  stage.count = count;
  stage.max_us = 1000;
  if (count > 0) stage.distribution = {{1000.0, count}};
  return stage;
}

// After `seconds` s, in which each core did 100 hunts, 10 of which were rejected.
TopSample sample_at(int64_t seconds, size_t cores) {
  auto const n = static_cast<uint64_t>(seconds);
  TopSample sample;
  sample.status.version = "1.2.3";
  sample.status.started_at_ms = sample.latency.started_at_ms = 1000;
  sample.status.taken_at_ms = sample.latency.taken_at_ms = 1'000'000 + 1000 * seconds;
  for (size_t i = 0; i < cores; ++i) {
    CoreStatus core;
    core.core = i;
    core.state = "ready";
    core.pid = 4000 + i;
    core.counters = {{"huntd_hunts_total{outcome=\"ok\"}", 90 * n},
                     {"huntd_hunts_total{outcome=\"rejected\"}", 10 * n},
                     {"huntd_hunts_total{outcome=\"deadline\"}", 7},
                     {"huntd_http_requests_total{code=\"2xx\"}", 90 * n},
                     {"huntd_http_requests_total{code=\"5xx\"}", 2 * n}};
    core.gauges = {{"huntd_redis_up", 1}, {"huntd_kafka_up", 1}, {"huntd_queue_length", 3}};
    sample.status.cores.push_back(std::move(core));
    sample.latency.cores.push_back(
        {i, "core", {stage_with("request", 100 * n), stage_with("tick", 500 * n)}});
  }
  sample.latency.all.stages = {stage_with("request", 100 * n * cores),
                               stage_with("tick", 500 * n * cores)};
  return sample;
}

TopFrame frame_of(size_t cores) {
  return frame_between(sample_at(10, cores), sample_at(12, cores));
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

size_t widest(const std::vector<std::string>& lines) {
  size_t width = 0;
  for (const std::string& line : lines) width = std::max(width, columns_of(line));
  return width;
}

// `runs` per hunt; then all others, which have 5.
using Runs = std::vector<std::pair<std::string, uint64_t>>;
HuntsReport hunts_of(const Runs& runs, uint64_t max = 100) {
  HuntsReport report;
  report.hunts_max = max;
  for (const auto& [name, n] : runs) report.hunts.push_back({name, n, n / 2, n / 4, 1.5, 20});
  report.hunts.push_back({"", 5, 0, 0, 0, 0});
  return report;
}

// A frame of two seconds with these hunts.
TopFrame frame_with(HuntsReport before, HuntsReport now) {
  TopSample first = sample_at(10, 1);
  TopSample second = sample_at(12, 1);
  first.hunts = std::move(before);
  second.hunts = std::move(now);
  return frame_between(first, second);
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the view has the host, the outcomes, the stages and the cores") {
  std::string const text = joined(top_lines(frame_of(2), 200));
  CHECK(has(text, "huntd 1.2.3  healthy, ready"));
  CHECK(has(text, "hunts/s 200.0  requests/s 184.0  5xx/s 4.0"));
  CHECK(has(text, "queue 6"));
  CHECK(has(text, "Redis up"));
  CHECK(has(text, "Kafka up"));
  CHECK(has(text, "outcomes/s  ok 180.0  rejected 20.0\n"));  // not one that did not happen
  CHECK(has(text, "\nrequest  200.0"));
  CHECK(has(text, "\ncore  state  cpu  busy  hunts/s  requests/s  "));
  CHECK(has(text, "\n   1  ready    0  45 %    100.0        92.0  "));  // 500 ticks/s of 0.9 ms
}

TEST_CASE("what is not well is in the view") {
  TopFrame frame = frame_of(1);
  frame.now.health.not_ready = {"core 0 can't use Redis"};
  frame.now.status.cores[0].gauges["huntd_redis_up"] = 0;
  frame.now.status.cores[0].kafka_reason = "no broker";
  frame.problem = "nothing listens";
  std::string const text = joined(top_lines(frame, 200));
  for (const char* part : {"not ready", "NO NEW FIGURES: nothing listens", "Redis DOWN",
                           "\ncore 0 can't use Redis\n", "Kafka takes no events of core 0"})
    CHECK_MESSAGE(has(text, part), part);
}

TEST_CASE("the hottest hunts of the interval are in the view, the hottest first") {
  std::string const text =
      joined(top_lines(frame_with(hunts_of({{"old", 1000}, {"gold", 100}}),
                                  hunts_of({{"old", 1000}, {"gold", 140}, {"fresh", 200}})),
                       200));
  CHECK(has(text,
            "\nhottest hunts  per s  failed/s  refused/s  p50 total  p99 total\n"
            "fresh          100.0      50.0       25.0    1.50 ms    20.0 ms\n"
            "gold            20.0      10.0        5.0    1.50 ms    20.0 ms\n"));
  CHECK_FALSE(has(text, "\nold"));    // it did not run
  CHECK_FALSE(has(text, "(other)"));  // they did not run either
}

TEST_CASE("a hunt that was one of the others has no rate until the next sample") {
  auto const before = hunts_of({{"a", 10}, {"b", 10}}, 2);
  std::string const text =
      joined(top_lines(frame_with(before, hunts_of({{"new", 5000}, {"a", 20}}, 2)), 200));
  CHECK(has(text, "\na "));
  CHECK_FALSE(has(text, "new"));
}

TEST_CASE("counts after a restart of huntd are those since the restart") {
  TopSample before = sample_at(10, 1);
  TopSample now = sample_at(12, 1);
  before.hunts = hunts_of({{"gold", 1000}});
  now.hunts = hunts_of({{"gold", 1001}});
  now.status.started_at_ms = now.status.taken_at_ms - 7000;
  std::string const text = joined(top_lines(frame_between(before, now), 200));
  CHECK(has(text, "\ngold           143.0 "));  // 1001 in 7 s
}

TEST_CASE("without runs, or with an older huntd, the view has no hunts") {
  CHECK_FALSE(has(joined(top_lines(frame_of(1), 200)), "hottest"));
  auto const same = hunts_of({{"gold", 10}});
  CHECK_FALSE(has(joined(top_lines(frame_with(same, same), 200)), "hottest"));
}

TEST_CASE("a few of many hunts are shown, and long names fit a narrow terminal") {
  Runs runs;
  for (uint64_t i = 0; i < 30; ++i)
    runs.emplace_back(std::string(60, 'x') + std::to_string(i), 100 - i);
  TopFrame const frame = frame_with(hunts_of({}), hunts_of(runs));
  for (size_t columns : {40, 80}) {
    auto const lines = top_lines(frame, columns);
    size_t shown = 0;
    for (const std::string& line : lines) {
      if (!line.starts_with("xxx")) continue;
      ++shown;
      CHECK(columns_of(line) <= columns);
      CHECK(has(line, "x…"));
    }
    CHECK(shown == 10);
    CHECK(has(joined(lines), "per s"));
  }
}

TEST_CASE("hunts.json is read, and what is not one is an error") {
  auto const report = read_hunts_report(
      R"({"hunts":[{"hunt":"gold","runs":9,"ok":4,"failed":3,"refused":2,"p50_ms":1.250,)"
      R"("p99_ms":8.000},{"hunt":null,"other":true,"runs":1,"ok":1,"failed":0,"refused":0,)"
      R"("p50_ms":0.000,"p99_ms":0.000}],"hunts_max":100})");
  REQUIRE(report);
  REQUIRE(report->hunts.size() == 2);
  CHECK(report->hunts[0].hunt == "gold");
  CHECK(report->hunts[0].runs == 9);
  CHECK(report->hunts[0].failed == 3);
  CHECK(report->hunts[0].refused == 2);
  CHECK(report->hunts[0].p50_ms == 1.25);
  CHECK(report->hunts[1].hunt == "");
  CHECK(report->hunts_max == 100);
  CHECK_FALSE(read_hunts_report("{}"));
  CHECK_FALSE(read_hunts_report(R"({"hunts":[{"hunt":"gold"}],"hunts_max":100})"));
}

TEST_CASE("a narrow terminal has fewer columns, and each line fits") {
  for (size_t columns : {40, 60, 80, 120}) {
    TopState state;
    auto const screen = top_screen(frame_of(2), state, {columns, 60}, false);
    CHECK(widest(screen) <= columns);
    CHECK(screen.size() == 60);
  }
  std::string const narrow = joined(top_lines(frame_of(2), 40));
  for (const char* kept : {"p50", "p99", "busy", "hunts/s", "core"})
    CHECK_MESSAGE(has(narrow, kept), kept);
  CHECK_FALSE(has(narrow, "p99.9"));
  CHECK_FALSE(has(narrow, "pid"));
}

TEST_CASE("a frame without an earlier sample has no rates") {
  TopSample const sample = sample_at(10, 1);
  std::string const text = joined(top_lines(frame_between(sample, sample), 200));
  CHECK(has(text, "hunts/s -  requests/s -"));
  CHECK(has(text, "outcomes/s  -\n"));
  CHECK_FALSE(has(text, "inf"));
  CHECK_FALSE(has(text, "nan"));
}

TEST_CASE("lines that do not fit can be scrolled to, and not further") {
  TopFrame const frame = frame_of(30);
  size_t const lines = top_lines(frame, 100).size();
  TopState state;
  auto const first = top_screen(frame, state, {100, 20}, false);
  REQUIRE(first.size() == 20);
  CHECK(has(first.back(), "more lines below"));
  apply_key(state, key_end, 18);
  auto const last = top_screen(frame, state, {100, 20}, false);
  CHECK(state.scroll == lines - 1 - 18);
  CHECK(last.front() == first.front());
  CHECK(has(last[18], "29  ready"));
  CHECK_FALSE(has(last.back(), "more lines"));
  apply_key(state, key_down, 18);
  CHECK(top_screen(frame, state, {100, 20}, false) == last);
  apply_key(state, key_home, 18);
  CHECK(top_screen(frame, state, {100, 20}, false) == first);
}

TEST_CASE("a terminal of any size can be drawn on") {
  for (size_t rows : {1, 2, 3, 5})
    for (size_t columns : {1, 2, 10}) {
      TopState state;
      auto const screen = top_screen(frame_of(2), state, {columns, rows}, false);
      CHECK(screen.size() == rows);
      CHECK(widest(screen) <= columns);
    }
}

TEST_CASE("keys change the state") {
  TopState state;
  auto const press = [&](std::string_view bytes) {
    for (int const key : keys_in(bytes)) apply_key(state, key, 10);
  };
  press("+");
  CHECK(state.delay_s == 3);
  press("--");
  CHECK(state.delay_s == 1);
  for (int i = 0; i < 20; ++i) press("-");
  CHECK(state.delay_s == 0.5);
  press("p");
  CHECK(state.paused);
  press("p");
  CHECK_FALSE(state.paused);
  press("\x1b[B\x1b[B\x1b[A");
  CHECK(state.scroll == 1);
  press("\x1b[6~");
  CHECK(state.scroll == 11);
  press("\x1b[5~\x1bOA");
  CHECK(state.scroll == 0);
  press("hx");  // any key ends the help, and does nothing else
  CHECK_FALSE(state.help);
  press("h");
  CHECK(state.help);
  press("q");
  CHECK(state.quit);
}

TEST_CASE("a delay can be typed") {
  TopState state;
  auto const press = [&](std::string_view bytes) {
    for (int const key : keys_in(bytes)) apply_key(state, key, 10);
  };
  press("d1.55\x7f");
  REQUIRE(state.typed);
  CHECK(*state.typed == "1.5");
  press("q\n");  // no digit
  CHECK(state.delay_s == 1.5);
  CHECK_FALSE(state.quit);
  for (const char* wrong : {"d\n", "d0\n", "d..\n", "d99999\n", "d7\x1b"}) {
    press(wrong);
    CHECK_FALSE(state.typed);
    CHECK(state.delay_s == 1.5);
  }
}

TEST_CASE("an unknown sequence of a terminal is not a key") {
  CHECK(keys_in("\x1b[15~q") == std::vector<int>{'q'});
  CHECK(keys_in("\x1b[1;5Cq") == std::vector<int>{'q'});
  CHECK(keys_in("\x1b") == std::vector<int>{key_escape});
  CHECK(keys_in("\x1b[A") == std::vector<int>{key_up});
}
