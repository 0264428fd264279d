// SPDX-License-Identifier: Apache-2.0
#include "check/lua_names.h"

#include <algorithm>
#include <vector>

#include "wire/script_names.h"

namespace huntd::check {
namespace {

constexpr std::string_view functions[] = {HUNT_FUNCTIONS(SCRIPT_NAME_TEXT)};
constexpr std::string_view values[] = {HUNT_VALUES(SCRIPT_NAME_TEXT)};
constexpr std::string_view options[] = {AWARD_OPTIONS(SCRIPT_NAME_TEXT)};
constexpr std::string_view of_hunt[] = {HUNT_FUNCTIONS(SCRIPT_NAME_TEXT)
                                            HUNT_VALUES(SCRIPT_NAME_TEXT)};
constexpr std::string_view removed[] = {REMOVED_GLOBALS(SCRIPT_NAME_TEXT)};

constexpr std::string_view globals[] = {
    "_G",       "_VERSION", "assert", "bit",          "coroutine", "error",    "getmetatable",
    "ipairs",   "math",     "next",   "pairs",        "pcall",     "rawequal", "rawget",
    "rawset",   "require",  "select", "setmetatable", "string",    "table",    "tonumber",
    "tostring", "type",     "unpack", "xpcall"};

constexpr std::string_view of_bit[] = {"arshift", "band", "bnot", "bor",    "bswap", "bxor",
                                       "lshift",  "rol",  "ror",  "rshift", "tobit", "tohex"};
constexpr std::string_view of_coroutine[] = {"create", "isyieldable", "resume", "running",
                                             "status", "wrap",        "yield"};
constexpr std::string_view of_math[] = {
    "abs",   "acos", "asin",  "atan", "atan2", "ceil", "cos",   "cosh", "deg", "exp",
    "floor", "fmod", "frexp", "huge", "ldexp", "log",  "log10", "max",  "min", "modf",
    "pi",    "pow",  "rad",   "sin",  "sinh",  "sqrt", "tan",   "tanh"};
constexpr std::string_view of_string[] = {"byte",    "char", "find",  "format", "gmatch",
                                          "gsub",    "len",  "lower", "match",  "rep",
                                          "reverse", "sub",  "upper"};
constexpr std::string_view of_table[] = {"concat", "foreach", "foreachi", "getn", "insert",
                                         "maxn",   "move",    "remove",   "sort"};

struct Replacement {
  std::string_view name;
  std::string_view help;
};
constexpr std::string_view no_code =
    "put code that hunts share into lib/NAME.lua, and write require(\"NAME\")";
constexpr std::string_view nil_word = "write nil; null in the input of a request is hunt.null";
constexpr Replacement of_globals[] = {
    {"print", "use hunt.log(...), which writes into the log of huntd"},
    {"os", "a hunt cannot use the system; the time is hunt.now"},
    {"io", "a hunt cannot use files; what it has to remember is loot"},
    {"dofile", no_code},
    {"load", no_code},
    {"loadfile", no_code},
    {"loadstring", no_code},
    {"module", no_code},
    {"package", no_code},
    {"debug", "a hunt cannot use it; hunt.log(...) writes into the log of huntd"},
    {"hunt", "only the main function gets hunt: hand it on, as in local function give(hunt)"},
    {"null", nil_word},
    {"None", nil_word},
    {"undefined", nil_word},
    {"True", "write true"},
    {"False", "write false"},
    {"random", "use hunt.random"},
    {"award", "use hunt.award"},
    {"held", "write local held = hunt.held() before it"},
    {"reject", "use hunt.reject"},
    {"log", "use hunt.log"},
    {"floor", "use math.floor"},
    {"max", "use math.max"},
    {"min", "use math.min"},
    {"abs", "use math.abs"},
    {"format", "use string.format"},
    {"insert", "use table.insert"},
};
constexpr Replacement of_hunt_words[] = {
    {"give", "award"},       {"grant", "award"},      {"add", "award"},
    {"loot", "award"},       {"rand", "random"},      {"roll", "random"},
    {"chance", "random"},    {"fail", "reject"},      {"error", "reject"},
    {"deny", "reject"},      {"time", "now"},         {"day", "date"},
    {"clock", "now"},        {"print", "log"},        {"has", "held"},
    {"have", "held"},        {"holds", "held"},       {"inventory", "held"},
    {"items", "held"},       {"player", "hunter_id"}, {"player_id", "hunter_id"},
    {"hunter", "hunter_id"}, {"user", "hunter_id"},   {"body", "input"},
    {"request", "input"},    {"name", "id"},          {"hunt_id", "id"},
    {"array", "list"},       {"choose", "pick"},      {"choice", "pick"},
    {"settings", "config"},  {"weighted", "pick"},    {"today", "date"},
};

template <size_t count>
std::string_view help_in(const Replacement (&all)[count], std::string_view name) {
  for (const Replacement& one : all)
    if (one.name == name) return one.help;
  return {};
}

}  // namespace

std::span<const std::string_view> hunt_functions() { return functions; }
std::span<const std::string_view> hunt_values() { return values; }
std::span<const std::string_view> hunt_names() { return of_hunt; }
std::span<const std::string_view> award_options() { return options; }
std::span<const std::string_view> lua_globals() { return globals; }

std::span<const std::string_view> library_names(std::string_view library) {
  if (library == "bit") return of_bit;
  if (library == "coroutine") return of_coroutine;
  if (library == "math") return of_math;
  if (library == "string") return of_string;
  if (library == "table") return of_table;
  return {};
}

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

std::string_view replacement_of_global(std::string_view name) {
  std::string_view const help = help_in(of_globals, name);
  if (!help.empty() || !contains(removed, name)) return help;
  return "hunts do not have this function of Lua";
}

std::string_view replacement_of_hunt_name(std::string_view name) {
  return help_in(of_hunt_words, name);
}

}  // namespace huntd::check
