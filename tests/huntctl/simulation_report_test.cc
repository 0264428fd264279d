// SPDX-License-Identifier: Apache-2.0
#include "huntctl/simulation_json.h"
#include "huntctl/simulation_svg.h"
#include "huntctl/simulation_text.h"
#include "huntctl/svg_picture.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::huntctl;

namespace {

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// 1,000 runs: a common shell, a crown of one, and an error.
SimulationReport sample() {
  SimulationReport report;
  report.script = "dip.lua";
  report.input = R"({"a":"it's"})";
  SimulationFigures& figures = report.figures;
  figures.plan.hunt_id = "dip";
  figures.plan.seed = "7";
  figures.plan.hunters = 100;
  figures.plan.hunts = 10;
  figures.plan.now_ms = 1'798'131'600'000;
  figures.plan.every_ms = 86'400'000;
  figures.plan.deadline_ms = 50;
  figures.plan.memory_bytes = 32 * 1024 * 1024;
  figures.plan.workers = 2;
  figures.runs = 1000;
  figures.ends[static_cast<size_t>(RunEnd::ok)] = 999;
  figures.ends[static_cast<size_t>(RunEnd::script_error)] = 1;
  figures.loot = {{"shell", 1500, 998, 100}, {"crown", 1, 1, 1}};
  SimulationFigures::Supply crown{"crown", 1, 1, 12, 250, {}};
  crown.given_over_time[4] = 1;
  figures.supplies = {crown};
  figures.hunters_by_loot = {0, 99, 1};
  SimulationFigures::Reason reason{RunEnd::script_error, "dip.lua:7", 1, {}};
  reason.first = {342, {1, 0xab}, {{"shell", 2}}, {"crown"}, {}, "dip.lua:7: a < b"};
  figures.reasons = {reason};
  figures.times = {10'000, 20'000, 30'000, 40'000, 2'000'000'000};
  return report;
}

}  // namespace

TEST_CASE("per cent have three digits, and only none is 0 and only all is 100") {
  CHECK(per_cent_text(0, 10) == "0 %");
  CHECK(per_cent_text(0, 0) == "0 %");
  CHECK(per_cent_text(10, 10) == "100 %");
  CHECK(per_cent_text(1, 3) == "33.3 %");
  CHECK(per_cent_text(1, 30) == "3.33 %");
  CHECK(per_cent_text(1, 3000) == "0.0333 %");
  CHECK(per_cent_text(999'999, 1'000'000) == ">99.9 %");
  CHECK(per_cent_text(1, 100'000'000) == "0.0000010 %");
}

TEST_CASE("a noun is plural unless there is one") {
  CHECK(counted(1, "run") == "1 run");
  CHECK(counted(0, "run") == "0 runs");
  CHECK(counted(2000, "supply") == "2 000 supplies");
}

TEST_CASE("hunters are counted in ranges if they hold many different loot_ids") {
  SimulationFigures figures;
  figures.hunters_by_loot = {5, 0, 3};
  std::vector<HoldersRow> rows = holders_rows(figures, 3);
  REQUIRE(rows.size() == 3);
  CHECK(rows[2].loots == "2");
  CHECK(rows[2].hunters == 3);
  figures.hunters_by_loot = {5, 1, 3, 4, 9};
  rows = holders_rows(figures, 3);
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].loots == "0-1");
  CHECK(rows[0].hunters == 6);
  CHECK(rows[2].loots == "4");
  CHECK(rows[2].hunters == 9);
}

TEST_CASE("the report says what was given, and how to play the first error again") {
  std::string const text = simulation_text(sample(), false);
  for (const char* const part :
       {"dip: 100 hunters with 10 hunts each, 1 000 runs\n",
        "seed 7, hunt.now 2026-12-24 17:00:00 UTC, a hunt of a hunter every 24 h\n",
        "ok             999   99.9 %\n", "script-error     1  0.100 %\n",
        "shell  1 500   99.8 %     15.0000    100 %\n",
        "crown      1  0.100 %      0.0100   1.00 %\n",
        "crown       1      1  100 %  250 runs (25.0 % of all)    12\n",
        "a full set of all 2: 1 hunter (1.00 %)\n", "1 run script-error: dip.lua:7\n",
        "  first   hunter-43, hunt 4: dip.lua:7: a < b\n",
        "  again   huntctl try dip.lua hunter-43 --seed 000000000000000100000000000000ab --now "
        "1798390800000 --held shell=2 --gone crown --input '{\"a\":\"it'\\''s\"}'\n",
        "limits: 50 ms, reached by 0 runs; 32 MiB, reached by 0 runs\n",
        "script time  p50 10.0 µs, p90 20.0 µs, p99 30.0 µs, max 40.0 µs\n",
        "1 000 runs in 2.0 s, 500 per second\n"})
    CHECK_MESSAGE(has(text, part), std::string(part), " is not in\n", text);
  CHECK_FALSE(has(text, "█"));
  CHECK(has(simulation_text(sample(), true), "█"));
}

TEST_CASE("a run that took the last units of a supply begins with them if it is repeated") {
  SimulationReport report = sample();
  SimulationFigures::Example& first = report.figures.reasons[0].first;
  first.gone = {"crown", "ring"};
  first.left = {{"crown", 1}, {"cup", 3}};
  CHECK(has(simulation_text(report, false), " --gone ring --left crown=1,cup=3 --input "));
  first.gone = {"crown"};
  CHECK(has(simulation_text(report, false), " --held shell=2 --left crown=1,cup=3 --input "));
}

TEST_CASE("a report without times has nothing that was measured") {
  SimulationReport report = sample();
  SimulationReport other = sample();
  report.times = other.times = false;
  other.figures.times = {};
  other.figures.plan.workers = 9;
  CHECK(simulation_text(report, true) == simulation_text(other, true));
  CHECK(simulation_json(report) == simulation_json(other));
  CHECK(simulation_svg(report) == simulation_svg(other));
  CHECK(simulation_html(report) == simulation_html(other));
}

TEST_CASE("an interrupted and a stopped simulation say so") {
  SimulationReport report = sample();
  report.figures.runs = 500;
  CHECK(has(simulation_head(report), "interrupted after 500 of 1 000 runs\n"));
  report.stopped = "too much";
  CHECK(has(simulation_head(report), "stopped after 500 of 1 000 runs: too much\n"));
}

TEST_CASE("the JSON has the same figures, with ids and numbers") {
  std::string const json = simulation_json(sample());
  for (const char* const part :
       {R"("outcomes":{"ok":999,"rejected":0,"script-error":1,)",
        R"({"loot_id":"shell","given":1500,"runs":998,"hunters":100,"share_of_runs":0.998,)"
        R"("per_hunter":15})",
        R"("used_up_after_runs":250,"used_up_after_share":0.25,)",
        R"("given_over_time":[0,0,0,0,1,0,)", R"("hunters_by_different_loot":[0,99,1])",
        R"("full_set":{"loot":2,"hunters":1})",
        R"("first":{"hunter_id":"hunter-43","hunt":4,"seed":"000000000000000100000000000000ab",)",
        R"("held":{"shell":2},"gone":["crown"])", R"("times":{"script_us":{"p50":10.0,)"})
    CHECK_MESSAGE(has(json, part), std::string(part), " is not in\n", json);
}

TEST_CASE("texts of a script are escaped in a picture and in a page") {
  CHECK(xml_text("a<b>&\"\x01") == "a&lt;b&gt;&amp;&quot;\xef\xbf\xbd");
  CHECK(xml_text("\xc3\xa9\xff-\xef\xbf\xbe-\xef\xbf\xbf\n") ==
        "\xc3\xa9\xef\xbf\xbd-\xef\xbf\xbd-\xef\xbf\xbd\n");
  CHECK(xml_text("\xed\xa0\x80") == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  std::string const page = simulation_html(sample());
  CHECK(has(page, "dip.lua:7: a &lt; b"));
  CHECK_FALSE(has(page, "a < b"));
}

TEST_CASE("without loot and supplies there is still a report") {
  SimulationReport report = sample();
  report.figures.loot.clear();
  report.figures.supplies.clear();
  report.figures.reasons.clear();
  report.figures.hunters_by_loot = {100};
  CHECK(has(simulation_text(report, true), "no loot was given\n"));
  CHECK(has(simulation_svg(report), "Outcomes"));
  CHECK(has(simulation_html(report), "</html>"));
  CHECK(has(simulation_json(report), R"("full_set":{"loot":0,"hunters":0})"));
}
