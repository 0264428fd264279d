// SPDX-License-Identifier: Apache-2.0
// Scripts that are correct: no finding, not even a warning.
#include "check/check_of.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

using namespace huntd;
using namespace huntd::test;

namespace {

// Each is the body of a hunt.
constexpr const char* correct[] = {
    R"(hunt.log("a != b && c || !d ++ += -= // /* else if = “curly” ?"))",
    R"(-- if x = 3 then y != 4 // && “curly” else if)",
    "--[[ if x = 3 then\n y += 1 ]] hunt.log('x')",
    "--[==[ ]] != ]==] hunt.log('x')",
    "local text = [[\nif x != 3 then\n]] return #text",
    "local text = [==[ ]] ++ ]==] return text",
    R"(local s = "x" return s:upper():rep(3):sub(1, -2))",
    R"(local s = ("%d"):format(3) return s)",
    R"(local s = "a \" != \" b" .. 'c \' != \' \\' return s)",
    "local s = \"two \\\n lines\" return s",
    "local s = \"joined \\z\n    text\" return s",
    R"(local hunt = { foo = 1, held = { iron = 3 } } return hunt.foo + hunt.held.iron)",
    R"(local held = { iron = 3 } return held.iron >= 3)",
    R"(local held = hunt.held() held = { iron = 3 } return held.iron >= 3)",
    R"(local print = hunt.log print("x"))",
    R"(local string = { trim = function(s) return s end } return string.trim("x"))",
    R"(function helper(n) return n + 1 end return helper(3))",
    R"(local function use() return later(3) end function later(n) return n end return use())",
    R"(local function all(...) local a, b = ... return select("#", ...), a, b, { ... } end
       return { all(1, 2) })",
    R"(for i = 1, 3 do if i == 2 then goto continue end hunt.log(i) ::continue:: end)",
    R"(local goto_count = 1 for i = 10, 1, -2 do goto_count = goto_count + i end)",
    R"(repeat local n = hunt.random(6) until n == 6)",
    R"(local t = { name = "x" } function t:say(more) return self.name .. more end
       function t.plain() end return t:say("y"))",
    R"(local held = hunt.held() if held.iron and held.iron >= 3 then hunt.award("sword") end)",
    R"(local held = hunt.held() if (held.iron or 0) >= 3 then hunt.award("sword") end)",
    R"(local iron = hunt.held().iron or 0 if iron >= 3 then hunt.award("sword") end)",
    R"(local held = hunt.held() if not held.iron then return end hunt.log(held.iron + 1))",
    R"(local held = hunt.held() if held.iron == nil or held.iron < 3 then return end)",
    R"(local iron = hunt.held().iron if iron then hunt.log(iron + 1) end)",
    R"(local held = hunt.held() held.iron = (held.iron or 0) + 1 return held.iron + 1)",
    R"(local iron = hunt.held().iron if iron == nil then iron = 0 end return iron + 1)",
    R"(local held = hunt.held() if held.iron == 3 then hunt.award("sword") end)",
    R"(for loot_id, count in pairs(hunt.held()) do if count > 3 then hunt.log(loot_id) end end)",
    R"(local held = hunt.held()
       for id in pairs(held) do if held[id] > 3 then hunt.log(id) end end)",
    R"(local award, random = hunt.award, hunt.random award("gold-" .. random(3)))",
    R"(hunt.award("gold", hunt.random(2) == 1 and { limit = 3 } or nil))",
    R"(local options = {} options.limit = 3 hunt.award("gold", options))",
    R"(local n = 3 hunt.award("gold", { limit = n }) hunt.award("gold", { limit = 0 }))",
    R"(local ids = { "a" } hunt.award(unpack(ids)) hunt.award(ids[1]) hunt.award((ids[1])))",
    R"(hunt.award("day-" .. 3 .. "." .. hunt.random(6)) hunt.award(tostring(7)))",
    R"(local list = { 1, 2 } return hunt.random(#list) + hunt.random(-3, 3) + hunt.random())",
    R"(hunt.reject())",
    R"(hunt.reject("you have " .. 3))",
    R"(return { hunt.list(), hunt.list({ 1 }), hunt.list{ 2 } })",
    R"(hunt.log("größe “x”", 1, nil, true) local größe = 1 return größe)",
    R"(local t = { ["a b"] = 1, [1] = 2; 3, "x", f = function() end, nested = { a = { 1 }, }, }
       t.nested.a[1], t.b = 3, "x" return #t)",
    R"(local function say(t) return t end say{ 1 } say"text" say[[text]] return say { a = 1 }.a)",
    "local s = (\"a\"):gsub(\"a\", \"b\")\n  :gsub(\"b\", \"c\")\n  :upper() return s",
    R"(local a = 0xff + 1e-3 + .5 + 3. + 0x1p4 local b = 7 % 3 ^ 2 / -1; return -a - -b)",
    R"(if type(os) == "table" or io == nil or nil ~= debug then hunt.log("no") end)",
    R"(_G.counter = 1 return counter)",
    R"(string.trim = function(s) return s end return string.trim("x"))",
    R"(function math.double(n) return n * 2 end return math.double(2))",
    R"(hunt.extra = 1 return hunt.extra)",
    R"(local f = hunt.log; (f or hunt.log)("x"))",
    R"(local function fact(n) return n <= 1 and 1 or n * fact(n - 1) end return fact(5))",
    R"(while true do if hunt.random(2) == 1 then break end end)",
    R"(return hunt.input == hunt.null or hunt.input == nil or hunt.id .. hunt.hunter_id)",
    R"(local ok, held = pcall(hunt.held) if ok and held.gold then pcall(hunt.award, "gold") end)",
    R"(return "10" + 1)",
    R"(return bit.band(3, 1), math.floor(2.5), table.concat({}, ","),
       coroutine.wrap(function() end))",
    R"(local input = hunt.input if type(input) == "table" and input.n then return input.n + 1 end)",
    R"(if hunt.random(2) == 1 then hunt.award("a") elseif hunt.now > 3 then hunt.award("b")
       else hunt.award("c") end)",
    "if hunt.now > 3 then\n  hunt.log('a')\nelse if hunt.now > 2 then\n  hunt.log('b')\nend\nend",
    "do local x = 1 do x = 2 end hunt.log(x) end;",
    "local a\nlocal b, c = 1\na = b c = a return c",
    "return\n  hunt.now",
    "local nothing--not set yet\nlocal other --\nnothing = 1 other = nothing return other",
    "hunt.award([[\ngold]]) hunt.award([==[\r\nwood]==])",
    R"(local unpack = table.unpack or unpack hunt.award(unpack({ "gold" })))",
    R"(if type(extra) == "function" then extra() end)",
    R"(if bonus ~= nil then hunt.award(bonus) end)",
    R"(local tier = hunt.tier or "gold" hunt.award(tier))",
    R"(if hunt.bonus then hunt.award(hunt.bonus.id) end)",
    R"(while not (done) do hunt.log(done) break end repeat until other == nil or other > 3)",
    R"(if math.trunc then return math.trunc(2.5) end return print and print("x"))",
    R"(return "10 " + 1 + " 0x10 " + "0b11")",
    R"(local n = 0 local iter = {} setmetatable(iter, { __call = function() return nil end })
       for i in iter do n = n + i end return n)",
};

std::vector<std::filesystem::path> scripts_in(const char* folder) {
  std::vector<std::filesystem::path> found;
  const char* const root = std::getenv("HUNTD_SOURCE_ROOT");
  REQUIRE(root != nullptr);
  for (const auto& entry : std::filesystem::directory_iterator(std::string(root) + "/" + folder))
    if (entry.path().extension() == ".lua")
      found.push_back(std::string(folder) + "/" + entry.path().filename().string());
  return found;
}

}  // namespace

TEST_CASE("a correct script has no finding") {
  for (std::string const body : correct) {
    std::string const script = hunt_of(body);
    CHECK_MESSAGE(!compile(script), body);
    CHECK_MESSAGE(text_of(check_of(script)) == "", body);
  }
}

TEST_CASE("the sample hunts, their tests and the hunts of the tests have no finding") {
  size_t scripts = 0;
  for (const char* folder : {"lua", "tests/e2e/hunts"})
    for (const std::filesystem::path& path : scripts_in(folder)) {
      ++scripts;
      bool const is_test = path.stem().string().ends_with("_test");
      std::string const script = read_source(path.string());
      CHECK_MESSAGE(text_of(check_of(
                        script, is_test ? check::ScriptKind::test : check::ScriptKind::hunt)) == "",
                    path.string());
    }
  CHECK(scripts >= 18);
}

TEST_CASE("other forms of a whole script have no finding") {
  for (std::string const script :
       {"return function(h) h.award('gold') end",
        "local function play(hunt) hunt.award('gold') end\nreturn play",
        "function give(hunt) hunt.award('gold') end\nreturn function(hunt) give(hunt) end",
        "\xef\xbb\xbfreturn function() end", "#!/usr/bin/lua\nreturn function() end",
        "return function(hunt)\r\n  if hunt.now > 3 then\r\n    hunt.award('a')\r\n  end\r\nend",
        "local odds = { a = 1 }\nreturn function() return odds.a end -- the end"})
    CHECK_MESSAGE(text_of(check_of(script)) == "", script);
}

TEST_CASE("a script that hunt_worker takes has no error of syntax") {
  // The parser here does not understand it; LuaJIT does not either, but that is not asked.
  CHECK(check::check_script("return function( if", std::nullopt).empty());
}
