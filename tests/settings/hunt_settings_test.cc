// SPDX-License-Identifier: Apache-2.0
#include "settings/hunt_settings.h"

#include <doctest/doctest.h>

#include "base/limits.h"
#include "wire/json_value.h"

namespace huntd {
namespace {

// What is wrong, each with its line.
std::string mistakes_in(std::string_view text) {
  std::string all;
  for (const SettingsMistake& mistake : read_hunt_settings(text).mistakes)
    all += std::to_string(mistake.line) + ": " + mistake.what + " (" + mistake.help + ")\n";
  return all;
}

// Whether [config] is the same as this JSON.
bool config_is(std::string_view text, std::string_view json) {
  ReadSettings const read = read_hunt_settings(text);
  REQUIRE(read.mistakes.empty());
  Result<PoolString> const value = encode_json_value(json);
  REQUIRE(value);
  return hash_value(read.settings.config) == hash_value(*value);
}

}  // namespace

TEST_CASE("[config] has texts, numbers, flags, lists and tables") {
  CHECK(config_is("", "{}"));
  CHECK(config_is("[config]", "{}"));
  CHECK(
      config_is("[config]\nwelcome = 'héllo'\nweight = 3\nshare = 0.5\nopen = true\n"
                "none = []\nlist = [1, 'two', [3]]\n[config.deep.er]\nx = -1\n",
                R"({"welcome": "héllo", "weight": 3, "share": 0.5, "open": true, "none": [],
                      "list": [1, "two", [3]], "deep": {"er": {"x": -1}}})"));
  CHECK(config_is("[[config.loot]]\nloot_id = 'gold'\n[[config.loot]]\nloot_id = 'iron'\n",
                  R"({"loot": [{"loot_id": "gold"}, {"loot_id": "iron"}]})"));
}

TEST_CASE("a time with an offset is milliseconds as hunt.now, other dates are texts") {
  CHECK(config_is("[config]\na = 1970-01-01T00:00:01Z\nb = 2026-12-24T18:00:00.250+01:00\n",
                  R"({"a": 1000, "b": 1798131600250})"));
  CHECK(config_is("[config]\nday = 2026-12-24\nat = 18:30:00\nboth = 2026-12-24T18:00:00\n",
                  R"({"day": "2026-12-24", "at": "18:30:00", "both": "2026-12-24T18:00:00"})"));
}

TEST_CASE("each mistake has its line and what to do") {
  CHECK(mistakes_in("confg = 1\n\n[weights]\ngold = 1\n") ==
        "1: confg is not a key of this file (did you mean config?)\n"
        "3: weights is not a key of this file (what the script reads is in [config])\n");
  CHECK(mistakes_in("config = 3") ==
        "1: config is not a table (write [config] in a line of its own)\n");
  CHECK(
      mistakes_in("[config]\nid = 9007199254740993\nlist = [1,\n inf]\n") ==
      "2: config.id is beyond 9007199254740992, up to which a number in Lua is exact (write it as "
      "a text in quotes)\n"
      "4: config.list[2] is inf or nan, which a hunt cannot use (write a number)\n");
  std::string const broken = mistakes_in("[config]\nname = gold\n");
  CHECK(broken.starts_with("2: this is not TOML: "));
  CHECK(broken.ends_with("(write NAME = VALUE in each line, and texts in quotes)\n"));
}

TEST_CASE("what a worker could not get is a mistake") {
  std::string deep = "[config]\nx = ";
  for (int i = 0; i < 40; ++i) deep += "[";
  for (int i = 0; i < 40; ++i) deep += "]";
  CHECK(mistakes_in(deep).find("is nested more than 32 deep") != std::string::npos);
  std::string large = "[config]\nlist = [";
  for (size_t i = 0; i < limits::hunt_config_bytes_max / 9; ++i) large += "1,";
  large += "]\n";
  CHECK(large.size() < limits::settings_bytes_max);
  CHECK(mistakes_in(large).starts_with("1: [config] has 6"));
}

TEST_CASE("the error of a file that must have no mistake names file and lines") {
  Result<HuntSettings> const none = parse_hunt_settings("a = 1\nb = 2\n", "lua/gold.toml");
  REQUIRE_FALSE(none);
  CHECK(none.error().message ==
        "lua/gold.toml:1: a is not a key of this file; what the script reads is in [config]\n"
        "lua/gold.toml:2: b is not a key of this file; what the script reads is in [config]");
}

}  // namespace huntd
