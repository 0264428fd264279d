// SPDX-License-Identifier: Apache-2.0
#include "check/editor_files.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "base/check.h"
#include "check/lua_names.h"

namespace huntd::check {
namespace {

// A name with the lines that describe it to LuaLS.
struct Described {
  std::string_view name;
  std::string_view text;  // of a function: annotations, "(", parameters, ")". Of a value: its type
};

constexpr Described functions[] = {
    {"award",
     R"(---Awards a loot, after the function has returned. With a limit: one of N units. With a count: so many.
---@param loot_id string 1 to 64 of A-Z a-z 0-9 _ . -
---@param options? HuntAwardOptions
---@return boolean awarded
---@return "gone"? why no unit is left
(loot_id, options))"},
    {"date", R"(---The date and the time of day in a time zone.
---@param zone? string such as "Europe/Berlin"; without it zone of NAME.toml
---@param ms? number milliseconds since 1970; without it hunt.now
---@return HuntDate
(zone, ms))"},
    {"held", R"(---What the hunter held of this hunt before this run: loot_id -> count.
---@return table<string, integer?>
())"},
    {"left", R"(---How many units of a supply are neither given nor reserved.
---@param loot_id string
---@param options {limit: integer} as for hunt.award
---@return integer
(loot_id, options))"},
    {"list", R"(---Marks a table as a list, which is an array in the result even if it is empty.
---@generic T
---@param t? T[]
---@return T[]
(t))"},
    {"log", R"(---Writes one line into the log of huntd.
---@param ... any
(...))"},
    {"pick", R"(---One line of a list, each as often as its weight says.
---@generic T: {weight: number}
---@param list T[]
---@return T
(list))"},
    {"random",
     R"(---Without arguments from 0 up to 1, else a whole number from 1 to m, or from m to n.
---@param m? number
---@param n? number
---@return number
(m, n))"},
    {"reject", R"(---Ends the run: nothing is awarded, and the caller gets the reason.
---@param reason? string
(reason))"},
    {"state",
     R"(---A table that the ledger keeps of this hunter in this hunt; changes are stored with the awards.
---@return table
())"},
    {"take", R"(---Takes n of a loot that the hunter held before this run, together with the awards.
---@param loot_id string
---@param n? integer 1 if it is left out
---@return boolean taken
---@return integer? held how much the hunter has, if that is less
(loot_id, n))"},
};

constexpr Described values[] = {
    {"config", "table # [config] of NAME.toml; read-only"},
    {"hunter_id", "string # the hunter who plays"},
    {"id", "string # the name of the hunt"},
    {"input", "any # the body of the request; nil if it has none"},
    {"now", "integer # milliseconds since 1 January 1970, UTC"},
    {"null", "userdata # the null of JSON"},
};

constexpr Described options[] = {
    {"count", "integer # how many the hunter gets"},
    {"limit", "integer # how many units all hunters share"},
};

constexpr std::string_view date_class = R"(
---@class HuntDate
---@field year integer
---@field month integer
---@field day integer
---@field hour integer
---@field minute integer
---@field second integer
---@field weekday integer # 1 is Monday, 7 is Sunday
---@field year_day integer # 1 to 366
---@field day_number integer # days since 1 January 1970
---@field date string # as in "2026-12-24"
---@field offset integer # seconds east of UTC
)";

constexpr std::string_view test_class = R"(
---@class HuntRun
---@field ended string # "ok", "rejected", "script-error", ...
---@field awards string[]
---@field given table<string, integer>
---@field taken table<string, integer>
---@field result any
---@field reason? string
---@field log string[]
---@field replayed boolean

---@class HuntTest
---@field null userdata # the null of JSON
---@field config table # [config] of the hunt's NAME.toml
local HuntTest = {}

---@param name string what is tested
---@param body fun()
function HuntTest.case(name, body) end

---What is so before the next run.
---@param options {hunter?: string, now?: integer|string, held?: table|string, left?: table<string, integer>, gone?: table|string, seed?: string|integer}
function HuntTest.given(options) end

---The hunter plays the hunt.
---@param options? {hunter?: string, now?: integer|string, after?: integer|string, input?: any, key?: string, runs?: integer, hunters?: integer}
---@return HuntRun
function HuntTest.when(options) end

---What has to come of the last test.when.
---@param options? {awards?: table|string, taken?: table|string, result?: any, result_has?: table, log?: string[]|string, log_has?: string, rejected?: string|true, error?: string|true, ended?: string, held?: table|string, held_has?: table, replayed?: boolean, runs_with?: table, units?: table, ok?: integer|integer[], failed?: integer|integer[]}
function HuntTest.expect(options) end

---@param came any
---@param expected any
---@param what? string
function HuntTest.equal(came, expected, what) end

---@param hunter? string
---@return table<string, integer>
function HuntTest.held(hunter) end

---@return integer
function HuntTest.now() end

---@param t? table
---@return table
function HuntTest.list(t) end

---@param ... any
function HuntTest.log(...) end
)";

// Libraries of LuaJIT that scripts do not have.
constexpr std::string_view no_libraries[] = {"debug", "ffi",           "io",          "jit",
                                             "os",    "package",       "jit.profile", "jit.util",
                                             "utf8",  "string.buffer", "table.clear", "table.new"};

// The description of a name. Each name must have one.
std::string_view described(std::span<const Described> all, std::string_view name) {
  auto const found =
      std::ranges::find_if(all, [&](const Described& one) { return one.name == name; });
  CHECK(found != all.end());
  return found->text;
}

std::string fields(std::span<const std::string_view> names, std::span<const Described> all,
                   std::string_view optional) {
  CHECK(names.size() == all.size());
  std::string text;
  for (std::string_view const name : names)
    text += fmt::format("---@field {}{} {}\n", name, optional, described(all, name));
  return text;
}

std::string definitions() {
  std::string text = fmt::format(
      "---@meta hunt\n-- SPDX-License-Identifier: Apache-2.0\n"
      "-- {}. What scripts use, for the Lua language server.\n\n"
      "---@class HuntAwardOptions\n{}\n---@class Hunt\n{}local Hunt = {{}}\n",
      editor_mark, fields(award_options(), options, "?"), fields(hunt_values(), values, ""));
  CHECK(hunt_functions().size() == std::size(functions));
  for (std::string_view const name : hunt_functions()) {
    std::string_view const all = described(functions, name);
    size_t const parameters = all.rfind("\n(") + 1;
    text += fmt::format("\n{}function Hunt.{}{} end\n", all.substr(0, parameters), name,
                        all.substr(parameters));
  }
  return text + std::string(date_class) + std::string(test_class);
}

// The names in quotes, in lines that begin with `indent`.
std::string quoted_names(std::span<const std::string_view> names, std::string_view indent) {
  std::string text;
  for (std::string_view const name : names) text += fmt::format("{}\"{}\",\n", indent, name);
  return text;
}

std::string luacheck() {
  std::string text = fmt::format(
      "-- {}. What scripts may use, for luacheck.\nstds.hunt = {{\n  read_globals = {{\n",
      editor_mark);
  for (std::string_view const name : lua_globals()) {
    std::span<const std::string_view> const library = library_names(name);
    if (library.empty())
      text += fmt::format("    \"{}\",\n", name);
    else
      text += fmt::format("    {} = {{ fields = {{\n{}    }} }},\n", name,
                          quoted_names(library, "      "));
  }
  return text + "  },\n}\nstd = \"hunt\"\nmax_line_length = false\n";
}

std::string language_server() {
  std::string libraries;
  for (std::string_view const name : no_libraries)
    libraries += fmt::format("{}\n    \"{}\": \"disable\"", libraries.empty() ? "" : ",", name);
  return fmt::format(
      "// {}. Settings of the Lua language server.\n{{\n"
      "  \"runtime.version\": \"LuaJIT\",\n"
      "  \"runtime.path\": [\"lib/?.lua\"],\n"
      "  \"runtime.builtin\": {{{}\n  }},\n"
      "  \"workspace.library\": [\".luals\"]\n}}\n",
      editor_mark, libraries);
}

}  // namespace

std::vector<EditorFile> editor_files() {
  return {{".luacheckrc", luacheck()},
          {".luarc.json", language_server()},
          {".luals/hunt.lua", definitions()}};
}

}  // namespace huntd::check
