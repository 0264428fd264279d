// SPDX-License-Identifier: Apache-2.0
// Many hunts in one worker: each starts in the same state as the first.
#include <doctest/doctest.h>

#include "worker/run_hunt.h"

using namespace huntd::test;

namespace {

// Returns the state of everything that `spoil` (below) changes.
constexpr const char* look_around = R"lua(
local calls = 0
return function(hunt)
  calls = calls + 1
  local seen = { calls = calls, draw = hunt.random(1, 1e9), input = hunt.input ~= nil }
  seen.global = rawget(_G, "left_behind") ~= nil
  seen.method = ("x").stolen ~= nil
  seen.string_index = getmetatable("").__index == string
  seen.upper = string.upper("a")
  seen.insert = type(table.insert)
  seen.pi = math.floor(math.pi)
  seen.env = getmetatable(_G) ~= nil
  seen.hunt_field = hunt.extra ~= nil
  seen.select = select("#", 1, 2)
  seen.bit = bit.tobit(7)
  return seen
end
)lua";

// Changes everything that a script can reach.
constexpr const char* spoil = R"lua(
local kept = {}
return function(hunt)
  left_behind = hunt.hunter_id
  kept[#kept + 1] = hunt.hunter_id
  hunt.extra = 1
  hunt.award = nil
  getmetatable("").__index = function() return "stolen" end
  string.upper = function() return "spoiled" end
  table.insert = nil
  math.pi = 4
  select = nil
  bit.tobit = nil
  setmetatable(_G, { __index = function() return 1 end })
  for _ = 1, 100 do hunt.random() end
  for name in pairs(table) do table[name] = nil end
  return #kept
end
)lua";

// Allocates megabytes, keeps some, frees some.
constexpr const char* eat = R"lua(
return function()
  local t = {}
  for i = 1, 20000 do t[i] = ("x"):rep(i % 700) .. i end
  for i = 1, 20000, 2 do t[i] = nil end
  for i = 1, 2000 do t[i] = { i } end
  return #t
end
)lua";

HuntRun run_of(const char* script, const char* hunter = "ada") {
  return {.script = script, .hunter_id = hunter};
}

}  // namespace

TEST_CASE("a hunt's changes to globals, metatables, libraries and upvalues are undone") {
  std::vector<HuntEnd> const ends =
      run_batch({run_of(look_around), run_of(spoil, "bob"), run_of(look_around),
                 run_of(spoil, "eve"), run_of(spoil, "eve"), run_of(look_around)});
  REQUIRE(ends.size() == 6);
  for (const HuntEnd& end : ends) CHECK_MESSAGE(end.status == WF_OK, end.reason);
  CHECK(ends[0].result.find("\"calls\":1,") != std::string::npos);
  CHECK(ends[0].result.find("\"global\":false") != std::string::npos);
  CHECK(ends[2].result == ends[0].result);
  CHECK(ends[5].result == ends[0].result);
  CHECK(ends[4].result == "1");
}

TEST_CASE("a batch has the same results as one process per hunt") {
  for (const char* script : {look_around, spoil, eat}) {
    HuntEnd const alone = run_hunt(run_of(script));
    std::vector<HuntEnd> const ends = run_batch({run_of(spoil), run_of(script), run_of(script)});
    REQUIRE(ends.size() == 3);
    CHECK(ends[1].result == alone.result);
    CHECK(ends[2].result == alone.result);
  }
}

TEST_CASE("a hunt does not see input, awards, reasons or log lines of an earlier one") {
  HuntRun all = run_of(
      "return function(hunt) hunt.log('first') hunt.award('cup') return hunt.input.secret end");
  all.input_json = R"({"secret":"s3cret"})";
  HuntRun none = run_of("return function(hunt) return { got = hunt.input or 'none' } end");
  HuntRun rejects = run_of("return function(hunt) hunt.award('cup') hunt.reject('no') end");
  HuntRun fails = run_of("return function(hunt) hunt.award('cup') error('oh') end");
  std::vector<HuntEnd> const ends = run_batch({all, none, rejects, none, fails, none});
  REQUIRE(ends.size() == 6);
  CHECK(ends[0].result == "\"s3cret\"");
  CHECK(ends[0].loot() == "cup");
  CHECK(ends[2].status == WF_REJECTED);
  CHECK(ends[4].status == WF_SCRIPT_ERROR);
  for (size_t i : {1, 3, 5}) {
    CHECK(ends[i].status == WF_OK);
    CHECK(ends[i].result == R"({"got":"none"})");
    CHECK(ends[i].loot().empty());
    CHECK(ends[i].log.empty());
    CHECK(ends[i].reason.empty());
  }
}

TEST_CASE("the hunter's loot is requested again for each hunt") {
  HuntRun run = run_of("return function(hunt) return hunt.held().cup or 0 end");
  run.held = {{"cup", 3}};
  HuntRun later = run;
  later.held = {{"cup", 4}};
  std::vector<HuntEnd> const ends = run_batch({run, later});
  REQUIRE(ends.size() == 2);
  CHECK(ends[0].result == "3");
  CHECK(ends[1].result == "4");
  CHECK(ends[1].held_requests == 1);
}

TEST_CASE("after a hunt that ran out of memory, the next one has all of it") {
  HuntRun const hog = run_of(
      "return function() local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end end");
  std::vector<HuntEnd> const ends = run_batch({hog, run_of(eat), hog, hog, run_of(eat)});
  REQUIRE(ends.size() == 5);
  CHECK(ends[0].status == WF_OUT_OF_MEMORY);
  CHECK(ends[1].status == WF_OK);
  CHECK(ends[2].status == WF_OUT_OF_MEMORY);
  CHECK(ends[3].status == WF_OUT_OF_MEMORY);
  CHECK(ends[4].result == ends[1].result);
}

TEST_CASE("a script can allocate more than its memory in total if it frees it") {
  HuntRun run = run_of(R"lua(
return function()
  local kept = {}
  local total = 0
  for i = 1, 60000 do
    local text = ("y"):rep(i % 5000) .. i
    total = total + #text
    kept[i % 100 + 1] = text
    if i % 1000 == 0 then kept = { ("z"):rep(1000000) } end
  end
  return total > 100e6
end
)lua");
  HuntEnd const end = run_hunt(run);
  CHECK_MESSAGE(end.status == WF_OK, end.reason);
  CHECK(end.result == "true");
}

TEST_CASE("growing tables and texts can use nearly all of the memory") {
  // 20 MB of one text in a limit of 32 MB, built by doubling.
  HuntEnd const end = run_hunt(run_of(
      "return function() local s = ('x'):rep(1e7) local t = {} for i = 1, 5e5 do t[i] = i end "
      "return #s + #t end"));
  CHECK_MESSAGE(end.status == WF_OK, end.reason);
  CHECK(end.result == "10500000");
}

TEST_CASE("a worker of a batch that gets no further job exits with status 0") {
  std::vector<HuntEnd> const ends = run_batch({run_of(look_around)});
  REQUIRE(ends.size() == 1);
  CHECK(ends[0].wait_status == 0);
}
