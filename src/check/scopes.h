// SPDX-License-Identifier: Apache-2.0
// Which variable each name of a script means.
#pragma once
#include <cstddef>
#include <deque>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "check/tree.h"

namespace huntd::check {

// A local variable.
struct Variable {
  std::string_view name;
  size_t offset = 0;                // of the name in its declaration
  const Variable* outer = nullptr;  // the one declared before it of those visible with it
  const Node* value = nullptr;      // what `local x = VALUE` gives it; null: not known
  bool parameter = false;
  bool changed = false;  // it gets another value later
  bool is_hunt = false;  // a parameter that is given the hunt table
  // Only its name says so: the main function is another one.
  bool hunt_by_name = false;
};

// A use of a name that is not a local variable.
struct GlobalUse {
  const Node* name = nullptr;
  // The innermost local variable that is visible here; the others by Variable::outer.
  const Variable* visible = nullptr;
  bool set = false;          // it gets a value
  bool by_function = false;  // by `function name()`
};

struct Scopes {
  std::deque<Variable> variables;
  std::vector<GlobalUse> globals;  // in the order of the script
  // Fields that the script itself sets, of `hunt` and of libraries: "string" -> "trim". The key is
  // the name of the variable.
  std::map<std::string_view, std::set<std::string_view>> fields_set;
  std::set<std::string_view> globals_set;  // that get a value somewhere
  // What the script asks for being there: globals, and fields by the name of the variable.
  std::set<std::string_view> globals_asked;
  std::map<std::string_view, std::set<std::string_view>> fields_asked;
  std::set<const Node*> with_metatable;  // tables that the script gives to setmetatable
  bool uses_g = false;                   // the script uses _G, so it may set any global
};

// Sets Node::variable of each name below `chunk`, and Node::read. `of_hunt`: the script's function
// gets the hunt table.
Scopes resolve(Node* chunk, bool of_hunt = true);

}  // namespace huntd::check
