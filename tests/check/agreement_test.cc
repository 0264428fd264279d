// SPDX-License-Identifier: Apache-2.0
// What the check knows of hunts is what hunt_worker has.
#include "check/check_of.h"
#include "check/lua_names.h"
#include "worker/run_hunt.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace huntd;
using namespace huntd::check;
using namespace huntd::test;

namespace {

std::string sorted_text(std::span<const std::string_view> names) {
  std::vector<std::string_view> sorted(names.begin(), names.end());
  std::ranges::sort(sorted);
  std::string text;
  for (std::string_view const name : sorted) text += (text.empty() ? "" : " ") + std::string(name);
  return text;
}

// The names in `table` whose type is or is not "function", as hunt_worker has them.
std::string names_in_worker(const std::string& table, const std::string& condition) {
  std::string const loop = "for name, value in pairs(" + table + ") do if " + condition +
                           " then names[#names + 1] = name end end";
  std::string const end_of_body = " table.sort(names) return table.concat(names, ' ')";
  HuntEnd const end =
      run_hunt({.script = hunt_of("local names = {} " + loop + end_of_body), .input_json = "1"});
  REQUIRE_MESSAGE(end.status == WF_OK, end.reason);
  return end.result.substr(1, end.result.size() - 2);
}

}  // namespace

TEST_CASE("the names of hunt are those that hunt_worker gives a script") {
  std::string const of_function = "type(value) == 'function'";
  CHECK(sorted_text(hunt_functions()) == names_in_worker("hunt", of_function));
  CHECK(sorted_text(hunt_values()) == names_in_worker("hunt", "not (" + of_function + ")"));
}

TEST_CASE("the names of Lua are those that hunt_worker gives a script") {
  CHECK(sorted_text(lua_globals()) == names_in_worker("_G", "true"));
  for (std::string const library : {"bit", "coroutine", "math", "string", "table"})
    CHECK_MESSAGE(sorted_text(library_names(library)) == names_in_worker(library, "true"), library);
}

TEST_CASE("the options of hunt.award that the check knows are those that hunt_worker takes") {
  REQUIRE(award_options().size() == 2);
  for (std::string_view const name : award_options()) {
    std::string const call = "hunt.award('gold', {" + std::string(name) + " = 3})";
    CHECK(run_hunt({.script = hunt_of(call), .supply_left = 1}).status == WF_OK);
    CHECK(check_of(hunt_of(call)).empty());
  }
}

TEST_CASE("a call that the check reports as an error fails in hunt_worker") {
  for (std::string const call : {"hunt.award()",
                                 "hunt.award(7)",
                                 "hunt.award(nil)",
                                 "hunt.award(true)",
                                 "hunt.award({})",
                                 "hunt.award('a', 3)",
                                 "hunt.award('a', 'b', 'c')",
                                 "hunt.award('a', {limt = 3})",
                                 "hunt.award('a', {3})",
                                 "hunt.award('a', {limit = '3'})",
                                 "hunt.award('a', {limit = -1})",
                                 "hunt.award('a', {limit = 1.5})",
                                 "hunt.award('a', {})",
                                 "hunt.award('a', {count = 0})",
                                 "hunt.award('a', {count = '3'})",
                                 "hunt.award('a', {count = 1000001})",
                                 "hunt.award('a', {count = 2, limit = 3})",
                                 "hunt.take()",
                                 "hunt.take(7)",
                                 "hunt.take('a b')",
                                 "hunt.take('iron', 0)",
                                 "hunt.take('iron', '1')",
                                 "hunt.take('iron', {})",
                                 "hunt.take('iron', 1, 1)",
                                 "local x = hunt.state.visits",
                                 "hunt.award('a b')",
                                 "hunt.award('')",
                                 "hunt.award(hunt.held)",
                                 "hunt.award('a ' .. 3)",
                                 "hunt.random('6')",
                                 "hunt.random(0)",
                                 "hunt.random(5, 1)",
                                 "hunt.random(1, 2, 3)",
                                 "hunt.random({})",
                                 "hunt.random(hunt.random)",
                                 "hunt.reject(7)",
                                 "hunt.reject({})",
                                 "hunt.list(3)",
                                 "hunt.list({}, 1)",
                                 "hunt.list(nil)",
                                 "hunt.now()",
                                 "hunt.id()",
                                 "hunt.awrad('a')",
                                 "hunt:award('a')",
                                 "hunt:random(3)",
                                 "hunt:reject('a')",
                                 "local x = hunt.held.iron",
                                 "local x = hunt.held + 1",
                                 "local x = #hunt.held",
                                 "local x = hunt.held() > 3",
                                 "for k in hunt.held() do end",
                                 "for k in pairs(hunt.held) do end",
                                 "os.time()",
                                 "local x = 'you have ' + 3",
                                 "local x = math.random(3)",
                                 "print('x')",
                                 "local t = {} for x in t do end"}) {
    HuntEnd const end =
        run_hunt({.script = hunt_of(call), .held = {{"iron", 1}}, .supply_left = 1});
    CHECK_MESSAGE(end.status == WF_SCRIPT_ERROR, call);
    CHECK_MESSAGE(has_error(check_of(hunt_of(call))), call);
  }
}

TEST_CASE("a call that the check takes works in hunt_worker") {
  for (std::string const call :
       {"hunt.award('a')", "hunt.award('a', nil)", "hunt.award('a', {limit = 0})",
        "hunt.award('a.b-c_D9')", "hunt.random()", "hunt.random(1)", "hunt.random(3, 3)",
        "hunt.random(-2, 2.5)", "hunt.list()", "hunt.list({})", "hunt.log()",
        "hunt.log(1, nil, {})", "hunt.held()", "local x = '3' + 4", "hunt.award('a' .. 3)"}) {
    HuntEnd const end = run_hunt({.script = hunt_of(call), .supply_left = 1});
    CHECK_MESSAGE(end.status == WF_OK, call);
    CHECK_MESSAGE(text_of(check_of(hunt_of(call))) == "", call);
  }
}

TEST_CASE("a warning that a count may be nil is right") {
  std::string const script = hunt_of("return hunt.held().iron >= 3");
  CHECK(check_of(script).size() == 1);
  CHECK_FALSE(has_error(check_of(script)));
  CHECK(run_hunt({.script = script}).status == WF_SCRIPT_ERROR);
  CHECK(run_hunt({.script = script, .held = {{"iron", 3}}}).status == WF_OK);
}
