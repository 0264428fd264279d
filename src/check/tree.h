// SPDX-License-Identifier: Apache-2.0
// A script as a tree of values and statements.
#pragma once
#include <cstddef>
#include <deque>
#include <string_view>
#include <vector>

namespace huntd::check {

enum class NodeKind {
  // Values. `parts` is empty unless it is described.
  nil,
  boolean,
  number,    // `text`: as in the script
  text,      // `text`: without the quotes
  varargs,   // ...
  function,  // parameters (names, or `varargs`), then a block
  name,      // `text`: the name
  index,     // what is indexed, the key. The key of a.b is a `text`
  call,      // what is called, arguments
  method,    // the object, arguments. `text`: the name behind the colon
  table,     // fields
  field,     // of a table: the value, or the key and the value
  binary,    // left, right. `text`: the operator
  unary,     // the operand. `text`: the operator
  group,     // a value in parentheses
  // Statements; a call or a method is one too.
  block,           // statements
  local,           // `count` names, then values
  local_function,  // the name, the function
  assign,          // `count` targets, then values. `function a.b()` is one
  choice,          // if: condition, block, condition, block ..., perhaps the block of else
  loop_while,      // condition, block
  loop_repeat,     // block, condition
  loop_number,     // the name, two or three values, block
  loop_in,         // `count` names, values, block
  returns,         // values
  other,           // break, goto, a label
};

// What is done with a value.
enum class Read {
  plain,   // it is handed on, or compared by == or ~=
  asked,   // it is asked for being nil or false: the script knows that it may be
  needed,  // it is called, indexed, counted with, compared or joined, which fails if it is nil
};

struct Variable;

struct Node {
  NodeKind kind = NodeKind::other;
  std::string_view text;
  size_t offset = 0;  // of what names it: a name, an operator, the key of an index
  size_t begin = 0;   // of the whole of it
  size_t end = 0;     // behind it
  size_t count = 0;
  size_t depth = 1;  // of the tree below it
  std::vector<Node*> parts;
  Read read = Read::plain;
  Variable* variable = nullptr;  // of a name: the local variable; null: a global one
};

// Owns the nodes. A tree of the parser is not deeper than tree_depth_max, so functions may descend
// it by calling themselves.
using Nodes = std::deque<Node>;
inline constexpr size_t tree_depth_max = 400;

}  // namespace huntd::check
