// SPDX-License-Identifier: Apache-2.0
// The return value of a script as JSON `result`; its errors as a line for the script author.
#include "base/limits.h"
#include "wire/json_value.h"
#include "worker/run_hunt.h"

#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::test;

namespace {

HuntEnd run_return(const std::string& value) {
  return run_hunt({.script = "return function(hunt) return " + value + " end"});
}

}  // namespace

TEST_CASE("every kind of value is written as JSON") {
  struct Pair {
    std::string lua, json;
  };
  for (const Pair& pair : std::vector<Pair>{
           {"nil", "null"},
           {"", "null"},
           {"hunt.null", "null"},
           {"true", "true"},
           {"false", "false"},
           {"0", "0"},
           {"-12", "-12"},
           {"0.1", "0.1"},
           {"1/3", "0.3333333333333333"},
           {"2^53", "9007199254740992"},
           {"1e300", "1e+300"},
           {"''", R"("")"},
           {R"('a"b\\c\n\0\127')", "\"a\\\"b\\\\c\\u000a\\u0000\x7f\""},
           {"'\\195\\169\\240\\159\\146\\142'", "\"é💎\""},
           {"{}", "{}"},
           {"{1,2,{3}}", "[1,2,[3]]"},
           {"{b=1,a=2,c={x=hunt.null}}", R"({"a":2,"b":1,"c":{"x":null}})"},
           {"{a='',ab='',['']=''}", R"({"":"","a":"","ab":""})"},
           {"1, 2, 3", "1"},
       }) {
    HuntEnd const end = run_return(pair.lua);
    CHECK_MESSAGE(end.status == WF_OK, pair.lua);
    CHECK_MESSAGE(end.result == pair.json, pair.lua);
    CHECK_MESSAGE(is_json(end.result), end.result);
  }
}

TEST_CASE("a value that JSON cannot express is an error with the reason") {
  struct Pair {
    std::string lua, reason;
  };
  for (const Pair& pair : std::vector<Pair>{
           {"print or function() end", "holds a value that JSON cannot express"},
           {"{f = function() end}", "holds a value that JSON cannot express"},
           {"coroutine.create(function() end)", "holds a value that JSON cannot express"},
           {"1/0", "holds a number that JSON cannot express"},
           {"{0/0}", "holds a number that JSON cannot express"},
           {"'\\255'", "holds text that is not valid UTF-8"},
           {"{['\\192\\128'] = 1}", "holds text that is not valid UTF-8"},
           {"'\\237\\160\\128'", "holds text that is not valid UTF-8"},
           {"{1, nil, 3}", "neither a list"},
           {"{1, 2, x = 3}", "neither a list"},
           {"{1, nil, 3, x = 5}", "neither a list"},
           {"(function() local t = {1, 2, 3, x = 5} t[1] = nil return t end)()", "neither a list"},
           {"{[1.5] = 1}", "neither a list"},
           {"{[0] = 1}", "neither a list"},
           {"{[true] = 1}", "neither a list"},
           {"string.rep('x', 16383)", "is longer than 16384 bytes"},
       }) {
    HuntEnd const end = run_return(pair.lua);
    CHECK_MESSAGE(end.status == WF_SCRIPT_ERROR, pair.lua);
    CHECK_MESSAGE(end.reason.starts_with("hunt.lua: the result "), end.reason);
    CHECK_MESSAGE(end.reason.find(pair.reason) != std::string::npos, end.reason);
    CHECK(end.result.empty());
  }
}

TEST_CASE("a result of the largest size is complete") {
  HuntEnd const end = run_return("string.rep('x', 16382)");
  CHECK(end.status == WF_OK);
  CHECK(end.result.size() == limits::result_bytes_max);
  CHECK(is_json(end.result));
}

TEST_CASE("a table that contains itself is an error, not an endless loop") {
  HuntEnd const end = run_hunt({.script = "return function() local t = {} t.t = t return t end"});
  CHECK(end.status == WF_SCRIPT_ERROR);
  CHECK(end.reason == "hunt.lua: the result is nested more than 32 deep");
}

TEST_CASE("the deepest result is JSON that the core accepts; a deeper one is an error") {
  auto const nested = [](int depth) {
    return run_hunt({.script = "return function() local t = 1 for i = 1, " + std::to_string(depth) +
                               " do t = {t} end return t end"});
  };
  HuntEnd const deepest = nested(limits::json_depth_max);
  CHECK(deepest.status == WF_OK);
  CHECK(is_json(deepest.result));
  CHECK(nested(limits::json_depth_max + 1).status == WF_SCRIPT_ERROR);
}

TEST_CASE("the deepest input that the core accepts reaches the script") {
  HuntRun run{.script = R"(return function(hunt)
    local depth, t = 0, hunt.input
    while type(t) == 'table' do depth, t = depth + 1, t[1] end
    return depth
  end)"};
  run.input_json =
      std::string(limits::json_depth_max, '[') + "1" + std::string(limits::json_depth_max, ']');
  CHECK(run_hunt(run).result == std::to_string(limits::json_depth_max));
}

TEST_CASE("an error in the script names its file and line") {
  struct Pair {
    std::string body, reason;
  };
  for (const Pair& pair : std::vector<Pair>{
           {"local x = nil\nreturn x.y", "hunt.lua:3: attempt to index local 'x' (a nil value)"},
           {"error('broken')", "hunt.lua:2: broken"},
           {"error('broken', 0)", "hunt.lua:2: broken"},
           {"error()", "hunt.lua:2: the script raised a nil as its error; use error(\"text\")"},
           {"error({code = 1})",
            "hunt.lua:2: the script raised a table as its error; use error(\"text\")"},
           {"\nlocal t = setmetatable({}, {__add = 1})\nreturn t + {}",
            "hunt.lua:4: attempt to call a number value"},
           {"hunt.award()", "hunt.lua:2: hunt.award: a loot_id is a text, not nil"},
           {"return hunt.award()",  // a tail call: the line is unknown
            "hunt.lua: hunt.award: a loot_id is a text, not nil"},
           {"('x'):rep({})", "hunt.lua:2: bad argument #1 to 'rep' (number expected, got table)"},
           {"coroutine.wrap(function()\nerror('inside') end)()", "hunt.lua:3: hunt.lua:3: inside"},
       }) {
    HuntEnd const end = run_hunt({.script = "return function(hunt)\n" + pair.body + "\nend"});
    CHECK(end.status == WF_SCRIPT_ERROR);
    CHECK(end.reason == pair.reason);
  }
}

TEST_CASE("an error that a beginner makes has what to do about it") {
  struct Pair {
    std::string body, reason;
  };
  for (
      const Pair& pair : std::vector<Pair>{
          {"hunt.awrd('a')",
           "attempt to call field 'awrd' (a nil value); if this is a field of hunt, it is hunt.award"},
          {"hunt.awrad('a')",
           "attempt to call field 'awrad' (a nil value); if this is a field of hunt, it is hunt.award"},
          {"hunt.hold()",
           "attempt to call field 'hold' (a nil value); if this is a field of hunt, it is hunt.held"},
          {"hunt.logs('a')",
           "attempt to call field 'logs' (a nil value); if this is a field of hunt, it is hunt.log"},
          {"hunt.rejekt()",
           "attempt to call field 'rejekt' (a nil value); if this is a field of hunt, it is hunt.reject"},
          {"hunt.give('a')", "attempt to call field 'give' (a nil value)"},
          {"hunt['']()", "attempt to call field '' (a nil value)"},
          {"return hunt.held.gold",
           "attempt to index field 'held' (a function value); write hunt.held()"},
          {"return hunt.held().iron + 1",
           "attempt to perform arithmetic on field 'iron' (a nil value); if it may be nil, as what is "
           "not held, write (it or 0)"},
          {"return hunt.held().iron >= 3",
           "attempt to compare number with nil; if it may be nil, as what is not held, write (it or "
           "0)"},
          {"return 'x' .. hunt.input",
           "attempt to concatenate field 'input' (a nil value); to join what may be nil, write "
           "tostring(it)"},
          {"return hunt.vanilla + 1",
           "attempt to perform arithmetic on field 'vanilla' (a nil value); if it may be nil, as what "
           "is not held, write (it or 0)"},
          {"local vanilla = {} return vanilla + 1",
           "attempt to perform arithmetic on local 'vanilla' (a table value)"},
          {"local vanilla = {} return 'x' .. vanilla",
           "attempt to concatenate local 'vanilla' (a table value)"},
          {"return nil < 1",
           "attempt to compare nil with number; if it may be nil, as what is not held, write (it or "
           "0)"},
          {"local a, b return a < b",
           "attempt to compare two nil values; if it may be nil, as what is not held, write (it or "
           "0)"},
          {"return {} < 1", "attempt to compare table with number"},
          {"local game = {logs = 1} game.logs()", "attempt to call field 'logs' (a number value)"},
          {"return {} + 1", "attempt to perform arithmetic on a table value"},
          {"error('nothing is nil')", "nothing is nil"},
      }) {
    HuntEnd const end = run_hunt({.script = "return function(hunt)\n" + pair.body + "\nend"});
    CHECK(end.status == WF_SCRIPT_ERROR);
    CHECK(end.reason == "hunt.lua:2: " + pair.reason);
  }
  HuntEnd const longest =
      run_hunt({.script = "return function(hunt) hunt." + std::string(600, 'x') + "() end"});
  CHECK(longest.reason.size() == WF_REASON_BYTES_MAX);
}

TEST_CASE("an error in a called function names that function's line") {
  HuntEnd const end = run_hunt({.script = R"(local function deep(n)
  if n == 0 then
    error("deep")
  end
  return 1 + deep(n - 1)
end
return function() return deep(3) end)"});
  CHECK(end.reason == "hunt.lua:3: deep");
}

TEST_CASE("an error names the whole file, for the longest hunt_id too") {
  std::string const hunt_id = std::string(63, 'h') + "1";
  HuntEnd const thrown =
      run_hunt({.script = "return function()\nerror('x')\nend", .hunt_id = hunt_id});
  CHECK(thrown.reason == hunt_id + ".lua:2: x");
  HuntEnd const syntax = run_hunt({.script = "return function(", .hunt_id = hunt_id});
  CHECK(syntax.reason.starts_with(hunt_id + ".lua:1: "));
}

TEST_CASE("a script that does not compile names its file and line") {
  HuntEnd const end = run_hunt({.script = "return function(hunt)\n  hunt.award('x'\nend"});
  CHECK(end.status == WF_SCRIPT_ERROR);
  CHECK(end.reason == "hunt.lua:3: ')' expected (to close '(' at line 2) near 'end'");
}

TEST_CASE("a script that does not return a function is an error that says so") {
  for (const std::string& script :
       std::vector<std::string>{"", "return 1", "local function hunt() end", "return {}"}) {
    HuntEnd const end = run_hunt({.script = script});
    CHECK(end.status == WF_SCRIPT_ERROR);
    CHECK(end.reason ==
          "hunt.lua:1: the script must return a function: return function(hunt) ... end");
  }
}

TEST_CASE("endless recursion is the script's error") {
  HuntEnd const end = run_hunt(
      {.script = "local function f() return 1 + f() end\nreturn function() return f() end"});
  CHECK(end.status == WF_SCRIPT_ERROR);
  CHECK(end.reason.starts_with("hunt.lua"));
  CHECK(end.reason.find("stack overflow") != std::string::npos);
}
