// SPDX-License-Identifier: Apache-2.0
// The forms of a finding, the nearest name, and that no script can break the check.
#include "check/report.h"

#include "base/nearest.h"
#include "check/check_of.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>

using namespace huntd;
using namespace huntd::check;
using namespace huntd::test;

namespace {

std::vector<Finding> errors_of(std::string_view script) {
  return check_script(script, LuaError{1, "'then' expected near 'x'"});
}

}  // namespace

TEST_CASE("a finding is printed with its line, a caret and help") {
  std::string const script = "return function(hunt)\n\tif hunt.id = 'ä' then end\nend\n";
  std::vector<Finding> const found = errors_of(script);
  REQUIRE(found.size() == 1);
  CHECK(finding_text("a.lua", script, found[0], false) ==
        "a.lua:2:13: error: \"=\" sets a value; it does not compare\n"
        "  \tif hunt.id = 'ä' then end\n"
        "  \t           ^\n"
        "help: to compare, write ==\n");
  CHECK(finding_text("a.lua", script, found[0], true).find("\x1b[1;31merror:\x1b[0m") !=
        std::string::npos);
  CHECK(finding_json("a.lua", found[0]) ==
        R"({"file":"a.lua","line":2,"column":13,"severity":"error","code":"one-equals",)"
        R"("message":"\"=\" sets a value; it does not compare","help":"to compare, write =="})");
  CHECK(count_text(found) == "1 error, 0 warnings");
}

TEST_CASE("columns are characters, not bytes") {
  std::vector<Finding> const found = errors_of("local a = 'ää' != 3");
  REQUIRE(found.size() == 1);
  CHECK(found[0].column == 16);
}

TEST_CASE("what a terminal obeys is not printed") {
  std::string const script = "local a = '\x1b[31m\xc2\x9b' != 3";
  std::vector<Finding> const found = errors_of(script);
  REQUIRE(found.size() == 1);
  std::string const text = finding_text("a.lua", script, found[0], false);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find("'?[31m?' != 3") != std::string::npos);
}

TEST_CASE("the nearest name is at most a few edits away") {
  constexpr std::string_view names[] = {"award", "held", "random", "hunter_id"};
  CHECK(nearest_name("awrad", names) == "award");
  CHECK(nearest_name("hold", names) == "held");
  CHECK(nearest_name("Held", names) == "held");
  CHECK(nearest_name("randm", names) == "random");
  CHECK(nearest_name("hunterid", names) == "hunter_id");
  CHECK(nearest_name("sword", names).empty());
  CHECK(nearest_name("give", names).empty());
  CHECK(nearest_name("x", names).empty());
  CHECK(nearest_name(std::string(1000, 'x'), names).empty());
  CHECK(edit_distance("abc", "acb") == 1);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
}

TEST_CASE("the error of a hunt is found among those of all hunts") {
  std::string const report =
      "dir/a.lua:3: 'end' expected\ndir/b.a.lua:4: other\nb.lua: its top-level code is slow";
  CHECK(lua_error_of(report, "a")->line == 3);
  CHECK(lua_error_of(report, "a")->message == "'end' expected");
  CHECK(lua_error_of(report, "b.a")->line == 4);
  CHECK(lua_error_of(report, "b")->message == "its top-level code is slow");
  CHECK_FALSE(lua_error_of(report, "c"));
}

TEST_CASE("every beginning of a script has findings, each in the script") {
  for (const char* path : {"lua/campfire.lua", "lua/sphinx.lua", "lua/goblin-hoard.lua"}) {
    std::string const whole = read_source(path);
    size_t const lines = static_cast<size_t>(std::ranges::count(whole, '\n'));
    for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
      std::vector<Finding> const found = errors_of(whole.substr(0, bytes));
      REQUIRE_MESSAGE(!found.empty(), path, bytes);
      for (const Finding& finding : found) {
        REQUIRE(finding.line >= 1);
        REQUIRE(finding.line <= lines + 1);
        REQUIRE(finding.offset <= bytes);
        REQUIRE_FALSE(finding.message.empty());
        REQUIRE_FALSE(finding.help.empty());
      }
    }
  }
}

TEST_CASE("a script that lacks any one character does not break the check") {
  std::string const whole = read_source("lua/sphinx.lua");
  for (size_t at = 0; at < whole.size(); ++at)
    REQUIRE_FALSE(errors_of(whole.substr(0, at) + whole.substr(at + 1)).empty());
}

TEST_CASE("deep and long scripts end the check, not the program") {
  for (const char* piece : {"(",
                            "{",
                            "if x then ",
                            "function() ",
                            "x(",
                            "-",
                            "not ",
                            "x.",
                            "x..",
                            "[[",
                            "\"",
                            "a=",
                            "1+",
                            "f{",
                            "::",
                            "else ",
                            "for i=1,2 do ",
                            "return ",
                            "x!=",
                            "hunt.x ",
                            "a b "}) {
    std::string script = "return ";
    while (script.size() < 200'000) script += piece;
    CHECK_FALSE(errors_of(script).empty());
  }
  std::string one_line = "return function(hunt) ";
  while (one_line.size() < 900'000) one_line += "do end ";
  CHECK_FALSE(errors_of(one_line).empty());
  std::string wrong;
  for (int i = 0; i < 1000; ++i) wrong += "local a = 1 != 2\n";
  CHECK(errors_of(wrong).size() == findings_max);
}

TEST_CASE("warnings do not hide an error behind them") {
  std::string warnings;
  for (size_t i = 0; i < findings_max + 20; ++i) warnings += fmt::format("made{} = 1\n", i);
  std::string const script = hunt_of(warnings + "hunt.awrad(\"gold\")\nhunt.now()");
  std::vector<Finding> const found = check_script(script, std::nullopt);
  REQUIRE(found.size() == findings_max);
  CHECK(found[0].code == "global-set");
  CHECK(found[0].line == 2);
  CHECK(found[findings_max - 2].code == "unknown-hunt-name");
  CHECK(found[findings_max - 1].code == "not-a-function");
  CHECK(has_error(found));
}

TEST_CASE("warnings of one kind leave room for errors of that kind") {
  std::string warnings;
  for (size_t i = 0; i < findings_max + 20; ++i)
    warnings += fmt::format("local n{0} = hunt.held().loot{0} + 1\n", i);
  CHECK(has_error(check_script(hunt_of(warnings + "hunt.now()"), std::nullopt)));
  std::string globals;
  for (size_t i = 0; i < findings_max + 20; ++i) globals += fmt::format("made{} = 1\n", i);
  CHECK(has_error(check_script(hunt_of(globals + "print(\"x\")"), std::nullopt)));
}

TEST_CASE("an error of hunt_worker is an error behind any number of warnings") {
  std::string warnings;
  for (size_t i = 0; i < 3 * findings_max; ++i) warnings += fmt::format("made{} = 1\n", i);
  for (const char* last : {"if", "x =", "goto nowhere", "local a = 1 != 2", "break"})
    CHECK_MESSAGE(has_error(check_of(hunt_of(warnings + last))), last);
}

TEST_CASE("the time grows with the script, not with its square") {
  std::string script;
  for (int i = 0; i < 9'500; ++i) script += fmt::format("name{}=1\n", i);
  for (int i = 0; i < 9'000; ++i) script += fmt::format("f(other{})\n", i);
  CHECK(check_script(hunt_of(script), std::nullopt).size() == findings_max);
  std::string fields;
  for (int i = 0; i < 20'000; ++i) fields += fmt::format("math.a{0} = math.b{0} + hunt.c{0}\n", i);
  CHECK_FALSE(check_script(hunt_of(fields), std::nullopt).empty());
}
