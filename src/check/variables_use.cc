// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>

#include <fmt/format.h>

#include "base/nearest.h"
#include "check/lua_names.h"
#include "check/uses.h"

namespace huntd::check {
namespace {

// At most this many names are compared with one that is not known: the variables of the innermost
// blocks, of which LuaJIT allows 200 in a function, and as many globals.
constexpr size_t compared_max = 200;

// Words for a constant in other languages: no script asks if they are there.
constexpr std::array<std::string_view, 5> constants = {"True", "False", "None", "null",
                                                       "undefined"};

class Variables {
 public:
  Variables(std::string_view script, const Scopes& scopes) : script_(script), scopes_(scopes) {}

  std::vector<Finding> check() {
    // Each name once: one fix is for all its places. The first place that fails counts.
    std::map<std::string_view, const GlobalUse*> unknown;
    for (const GlobalUse& use : scopes_.globals) {
      if (use.set || is_known(use.name->text)) continue;
      const GlobalUse*& reported = unknown.try_emplace(use.name->text, &use).first->second;
      if (use.name->read == Read::needed && reported->name->read != Read::needed) reported = &use;
    }
    for (const GlobalUse& use : scopes_.globals) {
      std::string_view const name = use.name->text;
      if (use.set && !use.by_function && reported_.insert(name).second) set(use);
      if (auto const found = unknown.find(name); found != unknown.end() && found->second == &use)
        read(use);
    }
    return findings_.take();
  }

 private:
  bool is_known(std::string_view name) const {
    bool const may_be_absent = scopes_.globals_asked.contains(name) && !contains(constants, name);
    return contains(lua_globals(), name) || scopes_.globals_set.contains(name) || may_be_absent ||
           scopes_.uses_g;
  }

  void add(const GlobalUse& use, Severity severity, std::string_view code, std::string message,
           std::string help) {
    findings_.add(
        {use.name->offset, severity, std::string(code), std::move(message), std::move(help)});
  }

  void set(const GlobalUse& use) {
    if (findings_.full(Severity::warning)) return;
    std::string_view const name = use.name->text;
    if (contains(lua_globals(), name))
      return add(use, Severity::warning, "lua-name", fmt::format("this replaces {} of Lua", name),
                 "choose another name");
    if (std::string_view const near = near_variable(use); !near.empty())
      return add(
          use, Severity::warning, "global-set",
          fmt::format("{} gets a value here, but there is no \"local {}\"", name, name),
          fmt::format("did you mean {}? If it is a new variable, write local before it", near));
    add(use, Severity::warning, "global-set", fmt::format("\"local\" is missing before {}", name),
        fmt::format("write local {} the first time it gets a value", name));
  }

  // The line of a local variable of this name that is not visible; 0: there is none.
  size_t line_of_other(std::string_view name) const {
    for (const Variable& variable : scopes_.variables)
      if (variable.name == name)
        return 1 +
               static_cast<size_t>(std::ranges::count(script_.substr(0, variable.offset), '\n'));
    return 0;
  }

  void read(const GlobalUse& use) {
    Severity const severity = use.name->read == Read::needed ? Severity::error : Severity::warning;
    if (findings_.full(severity)) return;
    std::string_view const name = use.name->text;
    std::string const unknown = fmt::format("{} is not known here", name);
    if (size_t const line = line_of_other(name); line > 0 && name != "hunt")
      return add(use, severity, "out-of-scope", unknown,
                 fmt::format("the {} of line {} is known only in its own block, and below its "
                             "line: write \"local {}\" above that block",
                             name, line, name));
    if (std::string_view const help = replacement_of_global(name); !help.empty())
      return add(use, severity, name == "hunt" ? "hunt-not-given" : "not-in-hunts", unknown,
                 std::string(help));
    std::string_view const near = near_name(use);
    if (!near.empty())
      return add(use, severity, "unknown-name", unknown, fmt::format("did you mean {}?", near));
    add(use, severity, "unknown-name", unknown,
        fmt::format("if it is a text, write \"{}\" in quotes; if it is a variable, write local {} "
                    "= ... above",
                    name, name));
  }

  // The local variable with the closest name, if one is close.
  static std::string_view near_variable(const GlobalUse& use) {
    std::vector<std::string_view> names;
    for (const Variable* one = use.visible; one != nullptr && names.size() < compared_max;
         one = one->outer)
      names.push_back(one->name);
    std::ranges::reverse(names);
    return nearest_name(use.name->text, names);
  }

  std::string_view near_name(const GlobalUse& use) const {
    if (std::string_view const near = near_variable(use); !near.empty()) return near;
    std::vector<std::string_view> names;
    for (std::string_view const name : scopes_.globals_set) {
      if (names.size() == compared_max) break;
      names.push_back(name);
    }
    std::ranges::copy(lua_globals(), std::back_inserter(names));
    for (std::string_view const word : {"true", "false", "nil"}) names.push_back(word);
    return nearest_name(use.name->text, names);
  }

  std::string_view script_;
  const Scopes& scopes_;
  std::set<std::string_view> reported_;
  FindingList findings_;
};

}  // namespace

std::vector<Finding> check_variables(std::string_view script, const Scopes& scopes) {
  return Variables(script, scopes).check();
}

}  // namespace huntd::check
