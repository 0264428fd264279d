// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>
#include <string>

#include <fmt/format.h>

#include "check/lua_names.h"
#include "check/nearest.h"
#include "check/uses.h"

namespace huntd::check {
namespace {

class Variables {
 public:
  Variables(std::string_view script, const Scopes& scopes) : script_(script), scopes_(scopes) {
    for (const GlobalUse& use : scopes.globals)
      if (use.set) made_.insert(use.name->text);
  }

  std::vector<Finding> check() {
    // Each name once: one fix is for all its places.
    for (const GlobalUse& use : scopes_.globals) {
      std::string_view const name = use.name->text;
      if (use.set && !use.by_function && reported_.insert(name).second)
        set(use);
      else if (!use.set && !use.tested && !is_known(name) && reported_.insert(name).second)
        read(use);
    }
    return std::move(findings_);
  }

 private:
  bool is_known(std::string_view name) const {
    return contains(lua_globals(), name) || made_.contains(name) || scopes_.uses_g;
  }

  void add(const GlobalUse& use, Severity severity, std::string_view code, std::string message,
           std::string help) {
    if (findings_.size() >= findings_max) return;
    findings_.push_back(
        {use.name->offset, severity, std::string(code), std::move(message), std::move(help)});
  }

  void set(const GlobalUse& use) {
    std::string_view const name = use.name->text;
    if (contains(lua_globals(), name))
      return add(use, Severity::warning, "lua-name", fmt::format("this replaces {} of Lua", name),
                 "choose another name");
    if (!use.near.empty())
      return add(
          use, Severity::warning, "global-set",
          fmt::format("{} gets a value here, but there is no \"local {}\"", name, name),
          fmt::format("did you mean {}? If it is a new variable, write local before it", use.near));
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
    std::string_view const name = use.name->text;
    std::string const unknown = fmt::format("{} is not known here", name);
    if (size_t const line = line_of_other(name); line > 0 && name != "hunt")
      return add(use, Severity::error, "out-of-scope", unknown,
                 fmt::format("the {} of line {} is known only in its own block, and below its "
                             "line: write \"local {}\" above that block",
                             name, line, name));
    if (std::string_view const help = replacement_of_global(name); !help.empty())
      return add(use, Severity::error, name == "hunt" ? "hunt-not-given" : "not-in-hunts", unknown,
                 std::string(help));
    std::string const near = near_of(use);
    if (!near.empty())
      return add(use, Severity::error, "unknown-name", unknown,
                 fmt::format("did you mean {}?", near));
    add(use, Severity::error, "unknown-name", unknown,
        fmt::format("if it is a text, write \"{}\" in quotes; if it is a variable, write local {} "
                    "= ... above",
                    name, name));
  }

  std::string near_of(const GlobalUse& use) const {
    if (!use.near.empty()) return use.near;
    std::vector<std::string_view> names(made_.begin(), made_.end());
    std::ranges::copy(lua_globals(), std::back_inserter(names));
    for (std::string_view const word : {"true", "false", "nil"}) names.push_back(word);
    return std::string(nearest_name(use.name->text, names));
  }

  std::string_view script_;
  const Scopes& scopes_;
  std::set<std::string_view> made_;  // globals that the script sets somewhere
  std::set<std::string_view> reported_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> check_variables(std::string_view script, const Scopes& scopes) {
  return Variables(script, scopes).check();
}

}  // namespace huntd::check
