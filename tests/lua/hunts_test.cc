// SPDX-License-Identifier: Apache-2.0
// The sample hunts in lua/, run in a real worker.
#include "worker/run_hunt.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

using namespace huntd::test;

namespace {

constexpr int64_t day_ms = 24 * 60 * 60 * 1000;
constexpr int64_t noon_ms = 20'000 * day_ms + day_ms / 2;  // of the day with the number 20,000

HuntRun run_of(const std::string& hunt_id) {
  const char* root = std::getenv("HUNTD_SOURCE_ROOT");
  REQUIRE(root != nullptr);
  std::ifstream file(std::string(root) + "/lua/" + hunt_id + ".lua");
  std::ostringstream source;
  source << file.rdbuf();
  REQUIRE_MESSAGE(file, hunt_id);
  HuntRun run{.script = source.str()};
  run.hunt_id = hunt_id;
  run.now_ms = noon_ms;
  return run;
}

// Runs the hunt once and adds its awards to the hunter's loot.
HuntEnd play(HuntRun& run) {
  HuntEnd const end = run_hunt(run);
  REQUIRE_MESSAGE(end.outcome_came, end.reason);
  if (end.status == WF_OK)
    for (const Award& given : end.awards)
      run.held[given.loot_id] += static_cast<uint64_t>(int64_t{given.units});
  return end;
}

}  // namespace

TEST_CASE("every sample hunt runs in the smallest configurable memory") {
  for (const char* hunt_id : {"goblin-hoard", "sunken-chest", "campfire", "seven-runes", "smithy",
                              "sphinx", "golden-ticket"}) {
    HuntRun run = run_of(hunt_id);
    run.memory_bytes = 1024 * 1024;
    CHECK_MESSAGE(play(run).status == WF_OK, hunt_id);
  }
}

TEST_CASE("goblin-hoard awards one loot per run, in proportion to its weight") {
  HuntRun run = run_of("goblin-hoard");
  constexpr int runs = 400;
  for (int i = 0; i < runs; ++i) {
    run.seed[0] = static_cast<uint64_t>(i);
    HuntEnd const end = play(run);
    REQUIRE(end.status == WF_OK);
    REQUIRE(end.awards.size() == 1);
    REQUIRE(end.result.starts_with("{\"found\":\"" + end.loot() + "\",\"says\":\""));
  }
  // Seeds are fixed, so the result is too; the bounds are four standard deviations.
  CHECK(run.held["copper-coin"] > 200);
  CHECK(run.held["copper-coin"] < 280);
  CHECK(run.held["silver-ring"] > 65);
  CHECK(run.held["silver-ring"] < 135);
  CHECK(run.held["ruby-eye"] > 22);
  CHECK(run.held["ruby-eye"] < 74);
  CHECK(run.held["goblin-crown"] > 0);
  CHECK(run.held["goblin-crown"] < 26);
  CHECK(run.held.size() == 4);
}

TEST_CASE("sunken-chest opens once per hunter") {
  HuntRun run = run_of("sunken-chest");
  HuntEnd const first = play(run);
  CHECK(first.status == WF_OK);
  CHECK(first.loot() == "chest-key pearl pearl pearl captains-log");
  CHECK(first.result == R"({"opened":true,"pearls":3})");
  HuntEnd const second = play(run);
  CHECK(second.status == WF_REJECTED);
  CHECK(second.reason == "you have opened this chest before");
  CHECK(second.awards.empty());
}

TEST_CASE("campfire counts days in a row, up to seven, and starts again after a gap") {
  HuntRun run = run_of("campfire");
  for (int day = 1; day <= 14; ++day) {
    HuntEnd const end = play(run);
    std::string const day_loot = "day-" + std::to_string(20'000 + day - 1);
    bool const feast = day % 7 == 0;
    CHECK(end.loot() == day_loot + (feast ? " ember feast" : " ember"));
    CHECK(end.result == std::string(R"({"feast":)") + (feast ? "true" : "false") +
                            R"(,"new":true,"streak":)" + std::to_string(day) + "}");
    run.now_ms += day_ms;
  }
  run.now_ms += day_ms;  // a day was missed
  CHECK(play(run).result == R"({"feast":false,"new":true,"streak":1})");
  CHECK(run.held["ember"] == 15);
  CHECK(run.held["feast"] == 2);
}

TEST_CASE("campfire awards once per day, which begins at midnight UTC") {
  HuntRun run = run_of("campfire");
  run.now_ms = 20'001 * day_ms - 1;  // the last millisecond of a day
  CHECK(play(run).awards.size() == 2);
  HuntEnd const again = play(run);
  CHECK(again.status == WF_OK);
  CHECK(again.awards.empty());
  CHECK(again.result.find(R"("new":false)") != std::string::npos);
  CHECK(again.result.find(R"("streak":1})") != std::string::npos);
  run.now_ms += 1;
  CHECK(play(run).result == R"({"feast":false,"new":true,"streak":2})");
}

TEST_CASE("campfire gives nothing for a day before the newest mark") {
  HuntRun run = run_of("campfire");
  CHECK(play(run).awards.size() == 2);
  for (int days_back : {1, 2, 300, 20'000}) {
    run.now_ms = noon_ms - days_back * day_ms;
    HuntEnd const end = play(run);
    CHECK(end.status == WF_OK);
    CHECK_MESSAGE(end.awards.empty(), days_back);
    CHECK(end.result.find(R"("new":false)") != std::string::npos);
  }
  CHECK(run.held["ember"] == 1);
  run.now_ms = noon_ms + day_ms;
  CHECK(play(run).result == R"({"feast":false,"new":true,"streak":2})");
}

TEST_CASE("campfire gives one ember per day to a clock that moves around midnight") {
  HuntRun run = run_of("campfire");
  for (int i = 0; i < 10; ++i) {  // two hosts, one of them a second behind
    run.now_ms = 20'001 * day_ms + (i % 2 == 0 ? 500 : -500);
    play(run);
  }
  CHECK(run.held["ember"] == 1);
}

TEST_CASE("no walk of the clock makes a feast in campfire without seven days in order") {
  HuntRun run = run_of("campfire");
  for (int day = 6; day >= 0; --day) {
    run.now_ms = noon_ms + day * day_ms;
    play(run);
  }
  CHECK(run.held["feast"] == 0);
  CHECK(run.held["ember"] == 1);
}

TEST_CASE("campfire ignores loot that does not have the name of a day") {
  HuntRun run = run_of("campfire");
  run.held = {{"day-", 1}, {"day-x", 1}, {"day-1e9", 1}, {"ember", 5}, {"xday-30000", 1}};
  CHECK(play(run).awards.size() == 2);
}

TEST_CASE("seven-runes awards the crown once, when the set is complete") {
  HuntRun run = run_of("seven-runes");
  int crowned_in_run = 0;
  int runs = 0;
  for (; runs < 200 && crowned_in_run == 0; ++runs) {
    run.seed[1] = static_cast<uint64_t>(runs);
    HuntEnd const end = play(run);
    REQUIRE(end.status == WF_OK);
    size_t const kinds = run.held.size() - run.held.count("rune-crown");
    CHECK(end.result.find(R"("runes_missing":)" + std::to_string(7 - kinds)) != std::string::npos);
    if (end.result.find(R"("crowned":true)") != std::string::npos) crowned_in_run = runs + 1;
    CHECK(end.awards.size() == (crowned_in_run != 0 ? 2 : 1));
  }
  CHECK(crowned_in_run >= 7);
  CHECK(run.held["rune-crown"] == 1);
  CHECK(run.held.size() == 8);
  for (int i = 0; i < 5; ++i) CHECK(play(run).awards.size() == 1);
  CHECK(run.held["rune-crown"] == 1);
}

TEST_CASE("sphinx asks a riddle and rejects a wrong answer") {
  HuntRun run = run_of("sphinx");  // day 20,000 has the third riddle
  HuntEnd const asked = play(run);
  CHECK(asked.result ==
        R"({"riddle":"I speak without a mouth and hear without ears. What am I?"})");
  CHECK(asked.awards.empty());
  for (const char* answer : {"echo", " An Echo! ", "the echo", "ECHO."}) {
    run.input_json = std::string(R"({"answer":")") + answer + "\"}";
    CHECK_MESSAGE(play(run).loot() == "sphinx-feather", answer);
  }
  for (const char* answer : {"river", "", "anecho", "echo echo"}) {
    run.input_json = std::string(R"({"answer":")") + answer + "\"}";
    HuntEnd const end = play(run);
    CHECK_MESSAGE(end.status == WF_REJECTED, answer);
    CHECK(end.reason == "the sphinx shakes her head");
  }
  run.now_ms += day_ms;
  run.input_json = R"({"answer":"river"})";
  CHECK(play(run).loot() == "sphinx-feather");
}

TEST_CASE("sphinx rejects a body of another form") {
  HuntRun run = run_of("sphinx");
  for (const char* body :
       {"{}", "[]", "1", "\"echo\"", "null", "true", R"({"answer":1})", R"({"answer":null})",
        R"({"answer":["echo"]})", R"({"Answer":"echo"})"}) {
    run.input_json = body;
    HuntEnd const end = play(run);
    CHECK_MESSAGE(end.status == WF_REJECTED, body);
    CHECK(end.reason == R"(the sphinx expects {"answer": "..."})");
  }
}

TEST_CASE("golden-ticket awards one ticket per hunter while any are left, then chocolate") {
  HuntRun lucky = run_of("golden-ticket");
  lucky.supply_left = 1;
  HuntEnd const won = play(lucky);
  CHECK(won.awards == std::vector<Award>{{"golden-ticket", true}});
  REQUIRE(won.supply_requests.size() == 1);
  CHECK(won.supply_requests[0].limit == 100);
  CHECK(won.result == R"({"says":"You hold a golden ticket!","won":true})");
  HuntEnd const again = play(lucky);
  CHECK(again.awards.empty());
  CHECK(again.supply_requests.empty());

  HuntRun late = run_of("golden-ticket");
  HuntEnd const gone = play(late);
  CHECK(gone.awards == std::vector<Award>{{"chocolate-bar", false}});
  CHECK(gone.result.find(R"("why":"gone","won":false)") != std::string::npos);
  CHECK(play(late).awards.empty());
}
