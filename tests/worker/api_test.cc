// SPDX-License-Identifier: Apache-2.0
// The functions of the `hunt` table (docs/scripts.md).
#include "base/limits.h"
#include "worker/run_hunt.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <set>
#include <vector>

using namespace huntd;
using namespace huntd::test;

namespace {

// Runs a script whose function has this body.
HuntEnd run_body(const std::string& body, const std::string& input_json = "") {
  HuntRun run{.script = "return function(hunt)\n" + body + "\nend"};
  run.input_json = input_json;
  return run_hunt(run);
}

struct Pair {
  std::string given, expected;
};

bool ends_within_a_character(const std::string& text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    auto const byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    size_t const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back;
  }
  return false;
}

}  // namespace

TEST_CASE("hunt.id, hunt.hunter_id and hunt.now come from the job") {
  HuntEnd const end = run_hunt({
      .script = "return function(hunt) return {hunt.id, hunt.hunter_id, hunt.now} end",
      .hunt_id = "north-gate",
      .hunter_id = "Ada.L_1",
      .now_ms = 1'732'417'139'123,
  });
  CHECK(end.result == R"(["north-gate","Ada.L_1",1732417139123])");
}

TEST_CASE("hunt.pick returns each line as often as its weight says") {
  std::string const body =
      "local list = { {loot_id = 'never', weight = 0}, {loot_id = 'a', weight = 1}, "
      "{loot_id = 'b', weight = 2.5, more = 1}, {loot_id = 'not', weight = 0} } "
      "local counts = {} for _ = 1, 7000 do local line = hunt.pick(list) "
      "counts[line.loot_id] = (counts[line.loot_id] or 0) + 1 end "
      "return {a = counts.a, b = counts.b, same = hunt.pick{list[3]} == list[3], "
      "others = (counts.never or 0) + (counts['not'] or 0)}";
  HuntEnd const end = run_body(body);
  REQUIRE_MESSAGE(end.status == WF_OK, end.reason);
  int a = 0;
  int b = 0;
  REQUIRE(std::sscanf(end.result.c_str(), R"({"a":%d,"b":%d,"others":0,"same":true})", &a, &b) ==
          2);
  CHECK(a + b == 7000);
  CHECK((a > 1850 && a < 2150));
}

TEST_CASE("hunt.pick says which line is wrong") {
  std::vector<Pair> const cases = {
      {"hunt.pick()", "use hunt.pick{ {loot_id = \"gold\", weight = 3}, ... }"},
      {"hunt.pick('gold')", "use hunt.pick{ {loot_id = \"gold\", weight = 3}, ... }"},
      {"hunt.pick{}", "the list has no line"},
      {"hunt.pick{ {weight = 1}, 'gold' }",
       "line 2 is not a table such as {loot_id = \"gold\", weight = 3}"},
      {"hunt.pick{ {weight = 1}, {} }", "line 2 has no weight"},
      {"hunt.pick{ {weight = '1'} }", "the weight of line 1 must be a number, 0 or more"},
      {"hunt.pick{ {weight = -1} }", "the weight of line 1 must be a number, 0 or more"},
      {"hunt.pick{ {weight = 0/0} }", "the weight of line 1 must be a number, 0 or more"},
      {"hunt.pick{ {weight = 0}, {weight = 0} }", "all weights are 0"}};
  for (const Pair& one : cases)
    CHECK(run_body(one.given).reason == "hunt.lua:2: hunt.pick: " + one.expected);
}

TEST_CASE("hunt.input is nil without a body, and the body's value with one") {
  HuntRun run{.script = "return function(hunt) return hunt.input end"};
  CHECK(run_hunt(run).result == "null");
  run.script = "return function(hunt) return hunt.input == nil end";
  CHECK(run_hunt(run).result == "true");
  run.script = "return function(hunt) return hunt.input end";
  run.input_json = R"({"a":[1,2.5,-3e2,true,false,"\u00e9\n"],"b":{"":{}}})";
  CHECK(run_hunt(run).result == R"({"a":[1,2.5,-300,true,false,"é\u000a"],"b":{"":{}}})");
}

TEST_CASE("JSON null in hunt.input is hunt.null, and is null again in the result") {
  HuntRun run{.script = R"(return function(hunt)
    return {hunt.input.a == hunt.null, hunt.input.b == nil, hunt.input.a} end)"};
  run.input_json = R"({"a":null})";
  CHECK(run_hunt(run).result == "[true,true,null]");
}

TEST_CASE("hunt.random takes the same arguments as math.random, with the same bounds") {
  HuntEnd const end = run_body(R"(
    local fraction_fine, die_fine, span_fine = true, true, true
    for i = 1, 10000 do
      local fraction, die, span = hunt.random(), hunt.random(6), hunt.random(-2, 2)
      fraction_fine = fraction_fine and fraction >= 0 and fraction < 1
      die_fine = die_fine and die >= 1 and die <= 6 and die == math.floor(die)
      span_fine = span_fine and span >= -2 and span <= 2 and span == math.floor(span)
    end
    return {fraction_fine, die_fine, span_fine, hunt.random(5, 5)})");
  CHECK(end.result == "[true,true,true,5]");
}

TEST_CASE("hunt.random gives every side of a die about as often") {
  HuntEnd const end = run_body(R"(
    local seen = {0, 0, 0, 0, 0, 0}
    for i = 1, 60000 do local side = hunt.random(6) seen[side] = seen[side] + 1 end
    local least, most = math.huge, 0
    for _, n in ipairs(seen) do least, most = math.min(least, n), math.max(most, n) end
    return {least > 9600, most < 10400})");  // more than four standard deviations of 91
  CHECK(end.result == "[true,true]");
}

TEST_CASE("hunt.random rejects an empty or infinite interval and too many arguments") {
  for (const std::string& call : std::vector<std::string>{
           "hunt.random(0)", "hunt.random(2, 1)", "hunt.random(0/0)", "hunt.random(1, 1/0)",
           "hunt.random(1, 2, 3)", "hunt.random('x')"}) {
    HuntEnd const end = run_body("local drawn = " + call);
    CHECK_MESSAGE(end.status == WF_SCRIPT_ERROR, call);
    CHECK_MESSAGE(end.reason.starts_with("hunt.lua:2: "), end.reason);
  }
}

TEST_CASE("the same seed gives the same draws, another seed gives others") {
  HuntRun run{.script = R"(return function(hunt)
    local draws = {}
    for i = 1, 20 do draws[i] = hunt.random(1000000) end
    return draws
  end)"};
  std::string const first = run_hunt(run).result;
  CHECK(run_hunt(run).result == first);
  run.seed[1] = 3;
  std::string const second = run_hunt(run).result;
  CHECK(second != first);
  run.seed[0] = 9;
  CHECK(run_hunt(run).result != second);
}

TEST_CASE("the first draw depends on both seeds") {
  HuntRun run{.script = "return function(hunt) return hunt.random(2 ^ 50) end"};
  std::set<std::string> draws;
  for (uint64_t i = 0; i < 8; ++i) {
    run.seed[0] = i;
    run.seed[1] = 0;
    draws.insert(run_hunt(run).result);
    run.seed[0] = 100;
    run.seed[1] = i;
    draws.insert(run_hunt(run).result);
  }
  CHECK(draws.size() == 16);
}

TEST_CASE("hunt.held asks the core once, and only if the script calls it") {
  HuntRun run{.script = R"(return function(hunt)
    local held = hunt.held()
    return {held.pearl, held["rune.1"], held.nothing == nil, hunt.held() == held}
  end)"};
  run.held = {{"pearl", 3}, {"rune.1", 9'007'199'254'740'991}};
  HuntEnd const end = run_hunt(run);
  CHECK(end.result == "[3,9007199254740991,true,true]");
  CHECK(end.held_requests == 1);
  run.script = "return function(hunt) hunt.award('pearl') end";
  CHECK(run_hunt(run).held_requests == 0);
}

TEST_CASE("hunt.held of a hunter without loot is an empty table") {
  CHECK(run_body("return next(hunt.held()) == nil").result == "true");
}

TEST_CASE("hunt.held takes as many different loots as the limit allows") {
  HuntRun run{.script = R"(return function(hunt)
    local n = 0
    for loot_id, count in pairs(hunt.held()) do n = n + count end
    return n
  end)"};
  for (size_t i = 0; i < limits::held_loot_max; ++i)
    run.held[std::string(60, 'x') + std::to_string(1000 + i)] = 2;
  CHECK(run_hunt(run).result == std::to_string(2 * limits::held_loot_max));
}

TEST_CASE("awards are reported in order, repeated ones too") {
  HuntEnd const end =
      run_body("hunt.award('a') hunt.award('b') hunt.award('a') return hunt.award('c')");
  CHECK(end.loot() == "a b a c");
  CHECK(end.result == "true");
  CHECK(end.supply_requests.empty());
}

TEST_CASE("an invalid loot_id is rejected at the line that awards it") {
  for (const std::string& loot_id :
       std::vector<std::string>{"''", "'a b'", "'a:b'", "'{x}'", "'\\0'", "string.rep('x', 65)",
                                "'\\195\\169'", "nil", "{}", "true"}) {
    HuntEnd const end = run_body("hunt.award('fine')\nhunt.award(" + loot_id + ")");
    CHECK_MESSAGE(end.status == WF_SCRIPT_ERROR, loot_id);
    CHECK_MESSAGE(end.reason.starts_with("hunt.lua:3: "), end.reason);
    CHECK(end.awards.empty());
  }
  CHECK(run_body("hunt.award(string.rep('x', 64))").status == WF_OK);
}

TEST_CASE("one award more than the limit is an error, and nothing is awarded") {
  std::string const most = std::to_string(limits::awards_max);
  CHECK(run_body("for i = 1, " + most + " do hunt.award('a') end").awards.size() ==
        limits::awards_max);
  HuntEnd const end = run_body("for i = 1, " + most + " + 1 do hunt.award('a') end");
  CHECK(end.status == WF_SCRIPT_ERROR);
  CHECK(end.reason == "hunt.lua:2: hunt.award: a run may award and take 32 times");
  CHECK(end.awards.empty());
}

TEST_CASE("a limited award asks the core, which grants it or replies that it is gone") {
  HuntRun run{.script = R"(return function(hunt)
    hunt.award('free')
    local first = {hunt.award('ticket', {limit = 2})}
    local second = {hunt.award('ticket', {limit = 2})}
    hunt.award('chocolate')
    return {first = first, second = second}
  end)"};
  run.supply_left = 1;
  HuntEnd const end = run_hunt(run);
  CHECK(end.result == R"({"first":[true],"second":[false,"gone"]})");
  CHECK(end.awards == std::vector<Award>{{"free", false}, {"ticket", true}, {"chocolate", false}});
  REQUIRE(end.supply_requests.size() == 2);
  CHECK(end.supply_requests[0].position == 1);
  CHECK(end.supply_requests[0].loot_id == "ticket");
  CHECK(end.supply_requests[0].limit == 2);
  CHECK(end.supply_requests[1].position == 2);
}

TEST_CASE("an invalid limit is an error, and the core is not asked") {
  for (const std::string& limit :
       std::vector<std::string>{"-1", "1.5", "0/0", "1/0", "2e9", "'many'", "nil", "{}"}) {
    HuntEnd const end = run_body("hunt.award('ticket', {limit = " + limit + "})");
    CHECK_MESSAGE(end.status == WF_SCRIPT_ERROR, limit);
    CHECK(end.supply_requests.empty());
  }
  CHECK(run_body("hunt.award('ticket', 5)").status == WF_SCRIPT_ERROR);
  CHECK(run_body("return {hunt.award('ticket', {limit = 0})}").result == R"([false,"gone"])");
}

TEST_CASE("hunt.reject ends the run with its reason and without an award") {
  HuntEnd const end = run_body("hunt.award('a') hunt.reject('not today') hunt.award('b')");
  CHECK(end.status == WF_REJECTED);
  CHECK(end.reason == "not today");
  CHECK(end.awards.empty());
  CHECK(end.result.empty());
}

TEST_CASE("pcall, xpcall and coroutines do not undo a reject") {
  for (const std::string& body : std::vector<std::string>{
           "pcall(hunt.reject, 'no') hunt.log('still here') return 1",
           "pcall(function() hunt.reject('no') end) pcall(hunt.award, 'a') return 1",
           "xpcall(function() hunt.reject('no') end, function() return 1 end) return 1",
           "coroutine.wrap(function() pcall(hunt.reject, 'no') end)() return 1",
           "local t = setmetatable({}, {__index = function() hunt.reject('no') end}) "
           "pcall(function() "
           "return t.x end)",
           "pcall(hunt.reject, 'no') error('another')",
           "pcall(hunt.reject, 'no') hunt.reject('second')",
           "pcall(hunt.reject, 'no') return function() end"}) {
    HuntEnd const end = run_body(body);
    CHECK_MESSAGE(end.status == WF_REJECTED, body);
    CHECK_MESSAGE(end.reason == "no", body);
    CHECK(end.awards.empty());
  }
}

TEST_CASE("an award after a caught reject raises the reject again") {
  HuntEnd const end = run_body("pcall(hunt.reject, 'no') hunt.award('a') hunt.log('not reached')");
  CHECK(end.status == WF_REJECTED);
  CHECK(end.log.empty());
}

TEST_CASE("hunt.reject without a reason says \"rejected\"; a long reason is truncated") {
  CHECK(run_body("hunt.reject()").reason == "rejected");
  HuntEnd const end = run_body("hunt.reject(string.rep('x', 9999))");
  CHECK(end.status == WF_REJECTED);
  CHECK(end.reason == std::string(limits::reason_bytes_max, 'x'));
  CHECK(run_body("hunt.reject({})").status == WF_SCRIPT_ERROR);
}

TEST_CASE("hunt.log writes one line per call, with tabs between the values") {
  HuntEnd const end = run_body(R"(
    hunt.log("a", 1, true, nil, "two\nlines")
    hunt.log(setmetatable({}, {__tostring = function() return "a chest" end}))
    hunt.log())");
  CHECK(end.status == WF_OK);
  CHECK(end.log == "a\t1\ttrue\tnil\ttwo lines\na chest\n");
}

TEST_CASE("the log of a script is truncated at the limit, and the script continues") {
  HuntEnd const end =
      run_body("for i = 1, 1000 do hunt.log(string.rep('x', 99)) end hunt.award('a')");
  CHECK(end.status == WF_OK);
  CHECK(end.loot() == "a");
  CHECK(end.log.size() <= limits::log_bytes_max);
  CHECK(end.log.size() > limits::log_bytes_max - 100);
}

TEST_CASE("the log of a run that fails or rejects is reported too") {
  CHECK(run_body("hunt.log('seen') error('x')").log == "seen\n");
  CHECK(run_body("hunt.log('seen') hunt.reject('x')").log == "seen\n");
}

// --- no conversion between number and text -------------------------------------------------------

TEST_CASE("hunt.award takes no number as loot_id, since hunt.held() has texts as keys") {
  for (const Pair& pair : std::vector<Pair>{{"7", "the number 7"},
                                            {"1.5", "the number 1.5"},
                                            {"0/0", "the number"},
                                            {"true", "a boolean"},
                                            {"{}", "a table"},
                                            {"nil", "nil"},
                                            {"hunt.null", "hunt.null"}}) {
    HuntEnd const end = run_body("hunt.award('fine')\nhunt.award(" + pair.given + ")");
    CHECK_MESSAGE(end.status == WF_SCRIPT_ERROR, pair.given);
    CHECK_MESSAGE(end.reason.starts_with("hunt.lua:3: hunt.award: "), end.reason);
    CHECK_MESSAGE(end.reason.find(pair.expected) != std::string::npos, end.reason);
    CHECK(end.awards.empty());
  }
  CHECK(run_body("hunt.award('7')").loot() == "7");
  CHECK(run_body("hunt.award(tostring(7))").loot() == "7");
}

TEST_CASE("a limit is a number, not a text that looks like one") {
  for (const char* limit : {"'100'", "'0x10'", "' 1 '"}) {
    HuntEnd const end = run_body(std::string("hunt.award('ticket', {limit = ") + limit + "})");
    CHECK_MESSAGE(end.status == WF_SCRIPT_ERROR, limit);
    CHECK(end.supply_requests.empty());
  }
}

TEST_CASE("an unknown option of hunt.award is an error, not an award without a limit") {
  for (const char* options :
       {"{}", "{limt = 3}", "{Limit = 3}", "{3}", "{limit = 3, per = 'day'}"}) {
    HuntRun run{.script =
                    std::string("return function(hunt) hunt.award('ticket', ") + options + ") end"};
    run.supply_left = 9;
    HuntEnd const end = run_hunt(run);
    CHECK_MESSAGE(end.status == WF_SCRIPT_ERROR, options);
    CHECK(end.awards.empty());
    CHECK(end.supply_requests.empty());
  }
  CHECK(run_body("hunt.award('a', nil, {limit = 3})").status == WF_SCRIPT_ERROR);
}

TEST_CASE("hunt.random takes numbers only") {
  for (const char* call : {"hunt.random('6')", "hunt.random('1', 6)", "hunt.random(1, '6')"}) {
    HuntEnd const end = run_body(std::string("local drawn = ") + call);
    CHECK_MESSAGE(end.status == WF_SCRIPT_ERROR, call);
  }
}

TEST_CASE("a reason is a text") {
  for (const char* reason : {"7", "true", "{}"}) {
    HuntEnd const end = run_body(std::string("hunt.award('a') hunt.reject(") + reason + ")");
    CHECK_MESSAGE(end.status == WF_SCRIPT_ERROR, reason);
    CHECK(end.awards.empty());
  }
}

// --- arrays stay arrays --------------------------------------------------------------------------

TEST_CASE("what came in as an array goes out as one") {
  for (const char* json : {"[]", "[[]]", R"([{},[]])", R"({"bag":[]})", R"({"a":{"b":[]}})", "{}",
                           R"({"1":"a","2":"b"})", "[null]", R"([[1],[]])"})
    CHECK_MESSAGE(run_body("return hunt.input", json).result == json, json);
}

TEST_CASE("an array of the input that a script empties or fills stays an array") {
  CHECK(run_body("table.remove(hunt.input.bag) return hunt.input", R"({"bag":["x"]})").result ==
        R"({"bag":[]})");
  CHECK(run_body("hunt.input[1] = nil return {left = hunt.input}", "[1]").result ==
        R"({"left":[]})");
  CHECK(run_body("table.insert(hunt.input, 'x') return hunt.input", "[]").result == R"(["x"])");
}

TEST_CASE("hunt.list marks a table as an array, an empty one too") {
  CHECK(run_body("return {found = hunt.list{}}").result == R"({"found":[]})");
  CHECK(run_body("return {found = hunt.list()}").result == R"({"found":[]})");
  CHECK(run_body("return hunt.list{1, 2}").result == "[1,2]");
  CHECK(run_body("local l = {} local same = hunt.list(l) return {same == l, l}").result ==
        "[true,[]]");
  CHECK(run_body("local l = hunt.list{} l[1] = 'a' return l").result == R"(["a"])");
  CHECK(run_body("return {}").result == "{}");
}

TEST_CASE("a list with a text key or a hole is an error") {
  for (const char* body :
       {"return hunt.list{a = 1}", "return hunt.list{1, nil, 3}",
        "local l = hunt.list{} l.x = 1 return l", "return hunt.list(1)", "return hunt.list('a')"}) {
    HuntEnd const end = run_body(body);
    CHECK_MESSAGE(end.status == WF_SCRIPT_ERROR, body);
    CHECK_MESSAGE(end.reason.find("list") != std::string::npos, end.reason);
    CHECK_MESSAGE(end.reason.find("attempt to call") == std::string::npos, end.reason);
  }
}

TEST_CASE("hunt.list works in top-level code's images and from worker to worker of a batch") {
  HuntRun run{.script = "return function(hunt) return {hunt.list{}, hunt.input} end"};
  run.input_json = "[]";
  for (const HuntEnd& end : run_batch({run, run, run})) CHECK(end.result == "[[],[]]");
}

// --- texts are cut between characters ------------------------------------------------------------

TEST_CASE("a long reason is cut between two characters") {
  for (const char* character : {"é", "€", "💎"})
    for (int before = 0; before < 4; ++before) {
      HuntEnd const end = run_body("hunt.reject(('x'):rep(" + std::to_string(before) + ") .. ('" +
                                   character + "'):rep(600))");
      CHECK(end.status == WF_REJECTED);
      CHECK(end.reason.size() > 508);
      CHECK(end.reason.size() <= 512);
      CHECK_MESSAGE(!ends_within_a_character(end.reason), character << " after " << before);
    }
}

TEST_CASE("a long error is cut between two characters") {
  for (int before = 0; before < 4; ++before) {
    HuntEnd const end =
        run_body("error(('x'):rep(" + std::to_string(before) + ") .. ('€'):rep(600))");
    CHECK(end.status == WF_SCRIPT_ERROR);
    CHECK(end.reason.size() > 508);
    CHECK_MESSAGE(!ends_within_a_character(end.reason), before);
  }
}

TEST_CASE("hunt.log is cut between two characters") {
  for (int before = 0; before < 4; ++before) {
    HuntEnd const end =
        run_body("hunt.log(('x'):rep(" + std::to_string(before) + ") .. ('€'):rep(6000))");
    CHECK(end.status == WF_OK);
    REQUIRE(!end.log.empty());
    CHECK(end.log.size() > 4092);
    CHECK_MESSAGE(!ends_within_a_character(end.log.substr(0, end.log.size() - 1)), before);
  }
}

TEST_CASE("a reason that is not UTF-8 is cut without a look beyond its start") {
  HuntEnd const end = run_body("hunt.reject(('\\128'):rep(600))");
  CHECK(end.reason == std::string(512, '\x80'));
}

TEST_CASE("hunt.award with a count gives so many in one award") {
  HuntEnd const end = run_body(R"(
    return {hunt.award('gold', {count = 50}), hunt.award('gold', {count = 1}), hunt.award('ruby')})");
  CHECK(end.result == "[true,true,true]");
  CHECK(end.awards ==
        std::vector<Award>{{"gold", false, 50}, {"gold", false, 1}, {"ruby", false, 1}});
  CHECK(run_body("hunt.award('gold', {count = 1000000})").awards.at(0).units == 1'000'000);
  for (const char* count : {"0", "-1", "1.5", "1000001", "'5'", "1/0", "0/0", "{}", "true"}) {
    HuntEnd const bad = run_body(std::string("hunt.award('gold', {count = ") + count + "})");
    CHECK(bad.status == WF_SCRIPT_ERROR);
    CHECK_MESSAGE(
        bad.reason == "hunt.lua:2: hunt.award: count must be a whole number from 1 to 1000000",
        count);
  }
  HuntEnd const both = run_body("hunt.award('gold', {count = 2, limit = 5})");
  CHECK(both.reason.starts_with("hunt.lua:2: hunt.award: either limit or count"));
  CHECK_MESSAGE(both.supply_requests.empty(), "it asks for no unit");
}

TEST_CASE("hunt.take takes what the hunter held before the run") {
  HuntRun run{.script = R"(return function(hunt)
    return {hunt.take('iron', 2), hunt.take('iron'), {hunt.take('iron', 3)}, hunt.take('iron', 2),
            {hunt.take('iron')}, {hunt.take('wood')}} end)"};
  run.held = {{"iron", 5}};
  HuntEnd const end = run_hunt(run);
  CHECK(end.result == "[true,true,[false,2],true,[false,0],[false,0]]");
  CHECK(end.awards ==
        std::vector<Award>{{"iron", false, -2}, {"iron", false, -1}, {"iron", false, -2}});
  CHECK_MESSAGE(end.held_requests == 1, "it asks once");
}

TEST_CASE("hunt.take sees no award of this run, and no change of hunt.held()") {
  HuntRun run{.script = R"(return function(hunt)
    hunt.held().iron = 9
    hunt.award('iron', {count = 9})
    return {hunt.take('iron', 9)} end)"};
  run.held = {{"iron", 5}};
  CHECK(run_hunt(run).result == "[false,5]");
  run.script = R"(return function(hunt)
    hunt.take('iron', 5)
    return hunt.held().iron end)";
  CHECK_MESSAGE(run_hunt(run).result == "5", "hunt.held() is as it was before the run");
}

TEST_CASE("hunt.take names what is wrong with its arguments") {
  CHECK(run_body("hunt.take()").reason == "hunt.lua:2: hunt.take: a loot_id is a text, not nil");
  for (const char* bad : {"nil", "7", "'a b'", "{}"}) {
    HuntEnd const end = run_body(std::string("hunt.take(") + bad + ")");
    CHECK(end.status == WF_SCRIPT_ERROR);
    CHECK_MESSAGE(end.reason.starts_with("hunt.lua:2: hunt.take: a loot_id"), end.reason);
  }
  for (const char* count : {"0", "-1", "1.5", "1000001", "'5'", "1/0", "0/0", "{}", "true"}) {
    HuntEnd const end = run_body(std::string("hunt.take('iron', ") + count + ")");
    CHECK(end.reason == "hunt.lua:2: hunt.take: how many is a whole number from 1 to 1000000");
  }
  CHECK(run_body("hunt.take('iron', 1, 1)").status == WF_SCRIPT_ERROR);
  HuntRun run{.script = "return function(hunt) for i = 1, 33 do hunt.take('iron') end end"};
  run.held = {{"iron", 100}};
  CHECK(run_hunt(run).reason.ends_with("hunt.take: a run may award and take 32 times"));
}

TEST_CASE("hunt.state() is what the core has; its changes are in the outcome") {
  HuntRun run{.script = R"(return function(hunt)
    local state = hunt.state()
    state.visits = (state.visits or 0) + 1
    return {hunt.state() == state, state.visits, state.best} end)"};
  CHECK(run_hunt(run).state == R"({"visits":1})");
  run.state_json = R"({"best":"gold","visits":41})";
  HuntEnd const end = run_hunt(run);
  CHECK(end.result == R"([true,42,"gold"])");
  CHECK(end.state == R"({"best":"gold","visits":42})");
  CHECK_MESSAGE(end.state_requests == 1, "it asks once");
  HuntEnd const none = run_body("return 1");
  CHECK(none.state_requests == 0);
  CHECK_FALSE(none.state.has_value());
}

TEST_CASE("hunt.left() asks the core at each call, as often as the bound allows") {
  HuntRun run{.script = R"(return function(hunt)
    local first = hunt.left("cup", {limit = 5})
    hunt.award("cup", {limit = 5})
    return {first, hunt.left("cup", {limit = 5})} end)"};
  run.supply_left = 3;
  HuntEnd const end = run_hunt(run);
  CHECK(end.result == "[3,2]");
  REQUIRE(end.left_requests.size() == 2);
  CHECK(end.left_requests[0].loot_id == "cup");
  CHECK(end.left_requests[0].limit == 5);
  std::string const rest = " do hunt.left('cup', {limit = 1}) end return 'well'";
  CHECK(run_body("for i = 1, 32" + rest).result == R"("well")");
  CHECK(run_body("for i = 1, 33" + rest).reason == "hunt.lua:2: hunt.left: a run may ask 32 times");
}

TEST_CASE("hunt.left() needs a loot_id and a limit, and nothing else") {
  std::string const use = "hunt.lua:2: hunt.left: use hunt.left(loot_id, {limit = N}), ";
  for (const char* arguments : {"", "'cup'", "'cup', {limit = 1}, 2", "'cup', {count = 1}"})
    CHECK_MESSAGE(run_body(std::string("local n = hunt.left(") + arguments + ")").reason ==
                      use + "N as for hunt.award",
                  arguments);
  for (const auto& [arguments, reason] :
       {std::pair("7, {limit = 1}", "a loot_id is a text, not the number 7"),
        {"'a b', {limit = 1}", "a loot_id is a text, 1 to 64 of A-Z a-z 0-9 _ . -"},
        {"'cup', 5", "options are a table, as in {limit = 100}"},
        {"'cup', {}", "limit must be a whole number, as in {limit = 100}"},
        {"'cup', {limit = 1.5}", "limit must be a whole number from 0 to 1000000000"},
        {"'cup', {limt = 1}", "the options are limit and count, as in {limit = 100}"}})
    CHECK(run_body(std::string("local n = hunt.left(") + arguments + ")").reason ==
          std::string("hunt.lua:2: hunt.left: ") + reason);
}

TEST_CASE("a state that cannot be kept is an error, and a failed run has none") {
  std::string const of_state = "hunt.lua: the table of hunt.state() ";
  HuntEnd const large = run_body("hunt.award('a') hunt.state().x = ('y'):rep(4096)");
  CHECK(large.status == WF_SCRIPT_ERROR);
  CHECK(large.reason == of_state + "is longer than 4096 bytes of JSON");
  CHECK(large.awards.empty());
  CHECK(run_body("hunt.state().x = ('y'):rep(4088)").state->size() == 4096);
  CHECK(run_body("hunt.state().f = function() end").reason.starts_with(of_state));
  for (const char* body :
       {"hunt.state().x = 1 hunt.reject('no')", "hunt.state().x = 1 error('no')"})
    CHECK_FALSE(run_body(body).state.has_value());
}
