// SPDX-License-Identifier: Apache-2.0
// What a script cannot reach, and the limit of its memory.
#include "worker/run_hunt.h"

#include <doctest/doctest.h>
#include <sys/wait.h>

using namespace huntd;
using namespace huntd::test;

TEST_CASE("a script sees exactly these globals") {
  HuntEnd const end = run_hunt({.script = R"(return function()
    local names = {}
    for name in pairs(_G) do names[#names + 1] = name end
    table.sort(names)
    return table.concat(names, " ")
  end)"});
  CHECK(
      end.result ==
      R"("_G _VERSION assert bit coroutine error getmetatable ipairs math next pairs pcall )"
      R"(rawequal rawget rawset require select setmetatable string table tonumber tostring type unpack xpcall")");
}

TEST_CASE("functions that load code, read files or end the process are absent") {
  for (const std::string& name : std::vector<std::string>{"io",
                                                          "os",
                                                          "ffi",
                                                          "debug",
                                                          "package",
                                                          "jit",
                                                          "module",
                                                          "load",
                                                          "loadstring",
                                                          "loadfile",
                                                          "dofile",
                                                          "print",
                                                          "collectgarbage",
                                                          "newproxy",
                                                          "getfenv",
                                                          "setfenv",
                                                          "gcinfo",
                                                          "string.dump",
                                                          "math.random",
                                                          "math.randomseed"}) {
    HuntEnd const end = run_hunt({.script = "return function() return " + name + " == nil end"});
    CHECK_MESSAGE(end.result == "true", name);
  }
}

TEST_CASE("bytecode is rejected") {
  HuntEnd const end = run_hunt({.script = std::string("\x1bLJ\x02\x00", 5)});
  CHECK(end.status == WF_SCRIPT_ERROR);
  CHECK(end.reason == "hunt.lua:1: a script is text, not bytecode");
}

TEST_CASE("bytecode behind a first line with # is rejected") {
  HuntEnd const end = run_hunt({.script = std::string("#!\n\x1bLJ\x02\x00", 8)});
  CHECK(end.status == WF_SCRIPT_ERROR);
}

TEST_CASE("a run does not see state of an earlier run") {
  HuntRun run{.script = R"(
    visits = (visits or 0) + 1
    return function() string.visits = (string.visits or 0) + 1 return {visits, string.visits} end)"};
  CHECK(run_hunt(run).result == "[1,1]");
  CHECK(run_hunt(run).result == "[1,1]");
}

TEST_CASE("a script that uses up its memory fails and awards nothing") {
  for (const std::string& body : std::vector<std::string>{
           "local t = {} for i = 1, 1e9 do t[i] = {i} end", "return #string.rep('x', 2^30)",
           "local s = 'x' while true do s = s .. s end",
           "local t = {} while true do t[#t + 1] = string.rep('x', 1000) .. #t end",
           "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
           "local function f(...) return f(1, ...) end f()"}) {
    HuntEnd const end =
        run_hunt({.script = "return function(hunt) hunt.award('a') " + body + " end"});
    CHECK_MESSAGE(end.outcome_came, body);
    bool const bounded = end.status == WF_OUT_OF_MEMORY || end.status == WF_SCRIPT_ERROR;
    CHECK_MESSAGE(bounded, body);
    CHECK(end.awards.empty());
    CHECK(WIFEXITED(end.wait_status));
  }
}

TEST_CASE("out of memory has its own status") {
  HuntEnd const end =
      run_hunt({.script = "return function() local t = {} for i = 1, 1e9 do t[i] = {i} end end"});
  CHECK(end.status == WF_OUT_OF_MEMORY);
}

TEST_CASE("a script can use its memory limit, and not much more") {
  // Allocates one text of this size.
  auto const status_of = [](int text_mib, uint64_t memory_mib) {
    return run_hunt({.script = "return function() return #string.rep('x', 2^20 * " +
                               std::to_string(text_mib) + ") end",
                     .memory_bytes = memory_mib << 20})
        .status;
  };
  CHECK(status_of(12, 32) == WF_OK);
  CHECK(status_of(40, 128) == WF_OK);
  CHECK(status_of(33, 32) == WF_OUT_OF_MEMORY);
  CHECK(status_of(9, 8) == WF_OUT_OF_MEMORY);
}

TEST_CASE("a script that catches an out-of-memory error can still award") {
  HuntEnd const end = run_hunt({.script = R"(return function(hunt)
    local fine = pcall(function() local t = {} for i = 1, 1e9 do t[i] = {i} end end)
    hunt.award('consolation')
    return fine
  end)"});
  CHECK(end.status == WF_OK);
  CHECK(end.result == "false");
  CHECK(end.loot() == "consolation");
}

TEST_CASE("patterns that recurse deeply do not crash the worker") {
  HuntEnd const end = run_hunt({.script = R"(return function()
    local fine = pcall(string.find, string.rep('a', 200000), string.rep('a?', 200000) .. 'b')
    return fine
  end)"});
  CHECK(end.outcome_came);
  CHECK(end.result == "false");
}
