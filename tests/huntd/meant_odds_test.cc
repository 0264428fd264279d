// SPDX-License-Identifier: Apache-2.0
#include "huntd/meant_odds.h"

#include "base/limits.h"

#include <doctest/doctest.h>

#include <string>

using namespace huntd;

namespace {

std::string odds_of(const BundleFiles& files) {
  Result<Bundle> const bundle = make_bundle(files);
  REQUIRE(bundle);
  return server::meant_odds(*bundle);
}

}  // namespace

TEST_CASE("a table of a script has the share of each loot") {
  CHECK(odds_of({{"dip", R"(
local hoard = {
  { loot_id = "copper", weight = 3, says = "A coin." },
  { loot_id = "ruby", weight = 0.5 },
  { loot_id = "copper", weight = 0.5 },
}
return function(hunt) hunt.award(hunt.pick(hoard).loot_id) end)"}}) ==
        R"([{"hunt":"dip","lines":[{"loot":"copper","share":0.875000},)"
        R"({"loot":"ruby","share":0.125000}]}])");
}

TEST_CASE("a table of the settings has it too, also inside of another table") {
  CHECK(odds_of({{"cal", "return function(hunt) end"}, {settings_entry("cal"), R"(
[config]
note = "loot"
[[config.inside.sweets]]
loot_id = "nut"
weight = 1
[[config.inside.sweets]]
loot_id = "cake"
weight = 3
)"}}) == R"([{"hunt":"cal","lines":[{"loot":"cake","share":0.750000},)"
         R"({"loot":"nut","share":0.250000}]}])");
}

TEST_CASE("what is not certainly a table of odds is left out") {
  for (const char* table :
       {"{}", "{ { loot_id = 'a', weight = 1 } }", "{ 'a', 'b' }",
        "{ { loot_id = 'a', weight = 1 }, { loot_id = 'b' } }",
        "{ { loot_id = 'a', weight = 1 }, { loot_id = name, weight = 1 } }",
        "{ { loot_id = 'a', weight = 1 }, { loot_id = 'b', weight = 2 * 3 } }",
        "{ { loot_id = 'a', weight = 0 }, { loot_id = 'b', weight = 0 } }",
        "{ { loot_id = 'a', weight = 1e999 }, { loot_id = 'b', weight = 1 } }",
        "{ { loot_id = 'a', weight = 1e999 }, { loot_id = 'b', weight = 1e999 } }",
        "{ { loot_id = 'a', weight = 1e308 }, { loot_id = 'b', weight = 1e308 } }",
        "{ { loot_id = 'a', weight = 1e308 }, { loot_id = 'a', weight = 1e308 }, { loot_id = 'b', "
        "weight = 1 } }",
        "{ { loot_id = 'a b', weight = 1 }, { loot_id = 'b', weight = 1 } }",
        "{ { loot_id = 'a', weight = 1 }, { loot_id = 'b', weight = 1 }, extra }"})
    CHECK_MESSAGE(odds_of({{"dip", std::string("local t = ") + table +
                                       " return function(hunt) return t end"}}) == "[]",
                  table);
  CHECK(odds_of({{"dip", "this is not Lua"}}) == "[]");
}

TEST_CASE("a weight of the settings that hunt.pick does not take makes no odds either") {
  auto const odds = [](const char* weight) {
    return odds_of({{"cal", "return function(hunt) end"},
                    {settings_entry("cal"),
                     std::string("[[config.sweets]]\nloot_id = \"nut\"\nweight = ") + weight +
                         "\n[[config.sweets]]\nloot_id = \"cake\"\nweight = " + weight + "\n"}});
  };
  CHECK(odds("1e308") == "[]");
  CHECK(odds("9007199254740994.0") == "[]");
  CHECK(odds("inf") == "[]");
  CHECK(odds("nan") == "[]");
  CHECK(odds("9007199254740992.0") == R"([{"hunt":"cal","lines":[{"loot":"cake","share":0.500000},)"
                                      R"({"loot":"nut","share":0.500000}]}])");
}

TEST_CASE("the text is bounded, and whole") {
  std::string script = "local t = {\n";
  std::string const table = "{ { loot_id = 'a', weight = 1 }, { loot_id = 'b', weight = 1 } },\n";
  for (size_t i = 0; i < limits::odds_tables_max + 5; ++i) script += table;
  script += "} return function(hunt) return t end";
  BundleFiles files;
  for (int i = 0; i < 500; ++i) files.emplace_back("hunt-" + std::to_string(1000 + i), script);
  std::string const odds = odds_of(files);
  CHECK(odds.size() <= limits::odds_bytes_max);
  CHECK(odds.size() > limits::odds_bytes_max - 200);
  CHECK(odds.ends_with("]}]"));
  size_t of_first = 0;
  for (size_t at = odds.find("hunt-1000"); at != std::string::npos;
       at = odds.find("hunt-1000", at + 1))
    ++of_first;
  CHECK(of_first == limits::odds_tables_max);
}
