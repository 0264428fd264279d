// SPDX-License-Identifier: Apache-2.0
// What `huntctl status --watch`, `huntctl latency --since` and `huntctl top` compute from two samples.
#include <simdjson.h>

#include "huntctl/latency_interval.h"
#include "huntctl/latency_text.h"
#include "huntctl/status_report.h"
#include "huntctl/terminal.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd::huntctl;

namespace {

CoreStatus core_with(uint64_t number, Numbers counters) {
  CoreStatus core;
  core.core = number;
  core.counters = std::move(counters);
  return core;
}

Status status_at(int64_t started_at_ms, int64_t taken_at_ms, std::vector<CoreStatus> cores) {
  Status status;
  status.started_at_ms = started_at_ms;
  status.taken_at_ms = taken_at_ms;
  status.cores = std::move(cores);
  return status;
}

using Distribution = std::vector<std::pair<double, uint64_t>>;

LatencyReport report_at(int64_t taken_at_ms, Distribution distribution, double max_us) {
  StageLatency stage;
  stage.stage = "request";
  stage.distribution = std::move(distribution);
  for (auto const& [bound_us, n] : stage.distribution) stage.count += n;
  stage.max_us = max_us;
  LatencyReport report;
  report.version = "1";
  report.started_at_ms = 1000;
  report.taken_at_ms = taken_at_ms;
  report.cores = {{3, "core 3", {stage}}};
  report.all = {0, "all cores", {stage}};
  return report;
}

}  // namespace

TEST_CASE("rates are the growth of the counters by the time between the samples") {
  Status const before =
      status_at(1, 10'000,
                {core_with(0, {{"a_total{b=\"x\"}", 100}, {"a_total{b=\"y\"}", 5}}),
                 core_with(1, {{"a_total{b=\"x\"}", 7}})});
  Status const now = status_at(1, 12'500,
                               {core_with(0, {{"a_total{b=\"x\"}", 125}, {"a_total{b=\"y\"}", 10}}),
                                core_with(1, {{"a_total{b=\"x\"}", 7}, {"a_total_other", 5}})});
  Activity const activity = activity_between(before, now);
  CHECK(activity.seconds == 2.5);
  REQUIRE(activity.cores.size() == 2);
  CHECK(rate_of(activity.cores[0], "a_total") == 12);
  CHECK(rate_of(activity.cores[1], "a_total") == 0);
  CHECK(rate_of(activity.cores[1], "a_total_other") == 2);
  CHECK(rate_of(activity.all, "a_total") == 12);
  CHECK(rate_of(activity.all, "none") == 0);
}

TEST_CASE("after a restart of huntd the rates are those since its start") {
  Status const before = status_at(1, 10'000, {core_with(0, {{"a_total", 1000}})});
  Status const now = status_at(11'000, 13'000, {core_with(0, {{"a_total", 1002}})});
  Activity const activity = activity_between(before, now);
  CHECK(activity.seconds == 2);
  CHECK(rate_of(activity.all, "a_total") == 501);
}

TEST_CASE("a clock that was set back gives no rates, and a core may be new") {
  Status const one = status_at(1, 10'000, {core_with(0, {{"a_total", 1}})});
  CHECK(activity_between(one, one).seconds == 0);
  CHECK(activity_between(one, status_at(1, 9'000, one.cores)).cores.empty());
  Status const two =
      status_at(1, 11'000, {core_with(0, {{"a_total", 1}}), core_with(1, {{"a_total", 4}})});
  CHECK(rate_of(activity_between(one, two).cores[1], "a_total") == 4);
}

TEST_CASE("the latency of an interval has only its own values") {
  LatencyReport const before = report_at(5'000, {{100.0, 1000}, {1e6, 1}}, 9e5);
  LatencyReport const now =
      report_at(65'000, {{100.0, 1000}, {1000.0, 98}, {10000.0, 2}, {1e6, 1}}, 9e5);
  LatencyReport const interval = latency_between(before, now);
  CHECK(interval.from_ms == 5'000);
  CHECK(interval.taken_at_ms == 65'000);
  REQUIRE(interval.cores.size() == 1);
  CHECK(interval.cores[0].name == "core 3");
  const StageLatency& stage = interval.cores[0].stages.at(0);
  CHECK(stage.count == 100);
  CHECK(stage.distribution == Distribution{{1000.0, 98}, {10000.0, 2}});
  CHECK(stage.p50_us > 794.3);
  CHECK(stage.p50_us < 1000.0);
  CHECK(stage.p99_us > 7943.2);
  CHECK(stage.p99_us < 10000.0);
  CHECK(stage.max_us == 10000.0);  // not that of before
  CHECK(stage.mean_us > 794.3);
  CHECK(stage.mean_us < 1200.0);
  CHECK(interval.all.stages.at(0).count == 100);
}

TEST_CASE("the largest value since the start is exact, and bounds the percentiles") {
  LatencyReport const before = report_at(5'000, {{100.0, 1}}, 90);
  const StageLatency stage =
      latency_between(before, report_at(6'000, {{100.0, 1}, {1000.0, 1}}, 801)).all.stages.at(0);
  CHECK(stage.max_us == 801);
  CHECK(stage.p99_us == 801);
}

TEST_CASE("an interval without values has zeros") {
  LatencyReport const one = report_at(5'000, {{100.0, 1}}, 90);
  const StageLatency stage = latency_between(one, one).all.stages.at(0);
  CHECK(stage.count == 0);
  CHECK(stage.max_us == 0);
  CHECK(stage.p50_us == 0);
}

TEST_CASE("the interval of a huntd that was started in it begins at the start") {
  LatencyReport const before = report_at(5'000, {{100.0, 1000}}, 90);
  LatencyReport now = report_at(9'000, {{100.0, 3}}, 80);
  now.started_at_ms = 7'000;
  LatencyReport const interval = latency_between(before, now);
  CHECK(interval.from_ms == 7'000);
  CHECK(interval.all.stages.at(0).count == 3);
  CHECK(latency_text(interval, false)
            .find("in 2.0 s, until 1970-01-01 00:00:09 UTC (huntd started "
                  "in between)\n") != std::string::npos);
}

TEST_CASE("the JSON of an interval can be read as latency.json") {
  LatencyReport const report = latency_between(report_at(5'000, {{100.0, 1}}, 90),
                                               report_at(6'000, {{100.0, 4}, {1000.0, 1}}, 800));
  std::string const json = latency_json(report);
  huntd::Result<LatencyReport> const read = read_latency_report(json);
  REQUIRE(read);
  CHECK(read->cores.at(0).core == 3);
  CHECK(read->all.stages.at(0).distribution == Distribution{{100.0, 3}, {1000.0, 1}});
  CHECK(read->all.stages.at(0).max_us == 800);
  simdjson::dom::parser parser;
  CHECK(int64_t(parser.parse(json)["from_ms"]) == 5'000);
}

TEST_CASE("text that is drawn in place says how many lines do not fit") {
  CHECK(drawn_in_place("a\nb\n", 24) == "\x1b[?7l\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J\x1b[?7h");
  CHECK(drawn_in_place("1\n2\n3\n4\n", 5).find("more") == std::string::npos);
  std::string const cut = drawn_in_place("1\n2\n3\n4\n5\n", 5);
  CHECK(cut.find("3\x1b[K\n(2 more lines)\x1b[K\n") != std::string::npos);
  CHECK(cut.find('4') == std::string::npos);
}
