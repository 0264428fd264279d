// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/run_tally.h"

#include "base/limits.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

#include <numeric>

using namespace huntd;

namespace {

// A hunt that 3 hunters play twice.
struct Game {
  SimulationPlan plan = [] {
    SimulationPlan made;
    made.hunt_id = "dip";
    made.hunters = 3;
    made.hunts = 2;
    return made;
  }();
  PretendLedger ledger{3};
  RunTally tally{plan};

  void give(std::initializer_list<const char*> loot_ids) {
    PlayedRun run;
    run.end = RunEnd::ok;
    for (const char* const loot_id : loot_ids) run.loot.push_back(*ledger.loot_of(loot_id));
    take(std::move(run));
  }
  // A run that asks for a crown of a supply of 1.
  void draw(bool granted) {
    PlayedRun run;
    run.end = RunEnd::ok;
    run.draws.push_back({*ledger.loot_of("crown"), granted, 1});
    if (granted) run.loot.push_back(*ledger.loot_of("crown"));
    take(std::move(run));
  }
  void fail(RunEnd end, const char* reason) {
    PlayedRun run;
    run.end = end;
    run.reason = reason;
    take(std::move(run));
  }
  void take(PlayedRun run) {
    std::array<uint64_t, 2> const seed = {1, tally.runs()};
    CHECK(tally.take(ledger, run, [seed] { return seed; }));
  }
  SimulationFigures figures() const { return tally.figures(ledger); }
};

}  // namespace

TEST_CASE("runs are numbered in rounds of all hunters") {
  SimulationPlan const plan = Game().plan;
  CHECK(plan.runs() == 6);
  CHECK(plan.hunter_of(4) == 1);
  CHECK(plan.hunt_of(2) == 0);
  CHECK(plan.hunt_of(3) == 1);
}

TEST_CASE("loot is counted by unit, by run and by hunter") {
  Game game;
  game.give({"shell", "shell", "gold"});
  game.give({});
  game.give({"shell"});
  game.give({"shell"});
  SimulationFigures const figures = game.figures();
  REQUIRE(figures.loot.size() == 2);
  CHECK(figures.loot[0].loot_id == "shell");
  CHECK(figures.loot[0].given == 4);
  CHECK(figures.loot[0].runs == 3);
  CHECK(figures.loot[0].hunters == 2);
  CHECK(figures.loot[1].loot_id == "gold");
  CHECK(figures.loot[1].given == 1);
  CHECK(figures.hunters_by_loot == std::vector<uint64_t>{1, 1, 1});
  CHECK(figures.full_sets() == 1);
  CHECK(figures.failures() == 0);
  CHECK(figures.runs == 4);
}

TEST_CASE("without loot there is no full set") {
  Game game;
  game.give({});
  CHECK(game.figures().loot.empty());
  CHECK(game.figures().full_sets() == 0);
}

TEST_CASE("a supply is used up after the run that took its last unit") {
  Game game;
  game.give({});
  CHECK(game.figures().supplies.empty());
  game.draw(true);
  game.draw(false);
  game.draw(false);
  SimulationFigures const figures = game.figures();
  REQUIRE(figures.supplies.size() == 1);
  CHECK(figures.supplies[0].loot_id == "crown");
  CHECK(figures.supplies[0].limit == 1);
  CHECK(figures.supplies[0].given == 1);
  CHECK(figures.supplies[0].gone == 2);
  CHECK(figures.supplies[0].used_up_after == 2);
  auto const& slices = figures.supplies[0].given_over_time;
  CHECK(std::accumulate(slices.begin(), slices.end(), uint64_t{0}) == 1);
  CHECK(slices[1 * simulation::time_slices / 6] == 1);
}

TEST_CASE("errors are counted by line, and the first can be played again") {
  Game game;
  game.give({"shell"});
  game.fail(RunEnd::rejected, "closed");
  game.fail(RunEnd::script_error, "dip.lua:7: attempt to call hunter-3");
  game.fail(RunEnd::script_error, "dip.lua:7: attempt to call hunter-1");
  game.fail(RunEnd::script_error, "dip.lua:71: oh");
  game.fail(RunEnd::script_error, "dip.lua:7: attempt to call hunter-3");
  SimulationFigures const figures = game.figures();
  CHECK(figures.failures() == 4);
  CHECK(figures.ends[static_cast<size_t>(RunEnd::rejected)] == 1);
  REQUIRE(figures.reasons.size() == 3);
  CHECK(figures.reasons[0].text == "dip.lua:7");
  CHECK(figures.reasons[0].runs == 3);
  CHECK(figures.reasons[0].first.run == 2);
  CHECK(figures.reasons[0].first.seed == std::array<uint64_t, 2>{1, 2});
  CHECK(figures.reasons[0].first.reason == "dip.lua:7: attempt to call hunter-3");
  CHECK(figures.reasons[1].text == "closed");
  CHECK(figures.reasons[2].text == "dip.lua:71");
}

TEST_CASE("an example has what its hunter held before the run") {
  Game game;
  game.give({"shell", "shell"});
  game.give({});
  game.give({});
  game.fail(RunEnd::script_error, "dip.lua:1: oh");
  SimulationFigures const figures = game.figures();
  REQUIRE(figures.reasons.size() == 1);
  using Held = std::vector<std::pair<std::string, uint64_t>>;
  CHECK(figures.reasons[0].first.held == Held{{"shell", 2}});
}

TEST_CASE("further reasons are counted together") {
  SimulationPlan plan = Game().plan;
  plan.hunts = 1000;
  PretendLedger ledger(plan.hunters);
  RunTally tally(plan);
  for (size_t i = 0; i < simulation::reasons_max + 7; ++i) {
    PlayedRun run;
    run.end = RunEnd::rejected;
    run.reason = "reason " + std::to_string(i);
    CHECK(tally.take(ledger, run, [] { return std::array<uint64_t, 2>{}; }));
  }
  SimulationFigures const figures = tally.figures(ledger);
  REQUIRE(figures.reasons.size() == simulation::reasons_max + 1);
  CHECK(figures.reasons[0].text.empty());
  CHECK(figures.reasons[0].runs == 7);
}

TEST_CASE("a run that would give a hunter too many loot_ids is counted as held-full") {
  Game game;
  PlayedRun run;
  run.end = RunEnd::ok;
  for (size_t i = 0; i <= limits::held_loot_max; ++i)
    run.loot.push_back(*game.ledger.loot_of("day-" + std::to_string(i)));
  game.take(std::move(run));
  SimulationFigures const figures = game.figures();
  CHECK(figures.ends[static_cast<size_t>(RunEnd::held_full)] == 1);
  CHECK(figures.loot.empty());
  CHECK(figures.failures() == 1);
}

TEST_CASE("a run keeps a state, and a table without a key is not kept") {
  Game game;
  for (const char* const state : {R"({"n":1})", "[]", "{}"}) {
    for (int hunter = 0; hunter < 3; ++hunter) {
      PlayedRun run;
      run.end = hunter == 2 ? RunEnd::rejected : RunEnd::ok;
      run.state = state;
      game.take(std::move(run));
    }
    CHECK(game.ledger.state(0) == (state[1] == '"' ? state : ""));
    CHECK(game.ledger.state(2).empty());
  }
}

TEST_CASE("percentiles of the script time are those of a histogram with three digits") {
  Game game;
  for (uint64_t us : {10, 20, 30, 40, 1000, 50'000}) {
    PlayedRun run;
    run.end = RunEnd::ok;
    run.script_ns = us * 1000;
    game.take(std::move(run));
  }
  SimulationFigures::Times const times = game.figures().times;
  CHECK(times.p50_ns == doctest::Approx(30'000).epsilon(0.01));
  CHECK(times.p90_ns == doctest::Approx(50'000'000).epsilon(0.01));
  CHECK(times.max_ns == 50'000'000);
}
