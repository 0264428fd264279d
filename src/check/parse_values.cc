// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "check/parser.h"

namespace huntd::check {
namespace {

// How strongly an operator binds what is to its left and to its right.
struct Operator {
  std::string_view text;
  int left;
  int right;
};
constexpr Operator operators[] = {
    {"or", 1, 1}, {"and", 2, 2}, {"<", 3, 3},  {">", 3, 3},  {"<=", 3, 3},
    {">=", 3, 3}, {"~=", 3, 3},  {"==", 3, 3}, {"..", 5, 4}, {"+", 6, 6},
    {"-", 6, 6},  {"*", 7, 7},   {"/", 7, 7},  {"%", 7, 7},  {"^", 10, 9},
};
constexpr int unary_binds = 8;

const Operator* operator_of(const Token& token) {
  auto const found =
      std::ranges::find_if(operators, [&](const Operator& one) { return token.is(one.text); });
  return found == std::end(operators) ? nullptr : &*found;
}

}  // namespace

Node* Parser::value(int above) {
  if (++level_ > parse_level_max) failed_ = true;
  Node* left = failed_ ? nullptr : operand();
  while (left != nullptr) {
    const Operator* const sign = operator_of(now());
    if (sign == nullptr || sign->left <= above) break;
    Node* const both = make(NodeKind::binary, now());
    both->begin = left->begin;
    step();
    Node* const right = value(sign->right);
    if (right == nullptr) {
      left = nullptr;
      break;
    }
    adopt(both, left);
    adopt(both, right);
    left = done(both);
  }
  --level_;
  return left;
}

Node* Parser::operand() {
  if (!now().is("not") && !now().is("-") && !now().is("#")) return simple();
  Node* const node = make(NodeKind::unary, now());
  step();
  Node* const one = value(unary_binds);
  if (one == nullptr) return nullptr;
  adopt(node, one);
  return done(node);
}

Node* Parser::simple() {
  const Token& token = now();
  NodeKind kind = NodeKind::nil;
  if (token.kind == TokenKind::number)
    kind = NodeKind::number;
  else if (token.kind == TokenKind::text)
    kind = NodeKind::text;
  else if (token.is("true") || token.is("false"))
    kind = NodeKind::boolean;
  else if (token.is("..."))
    kind = NodeKind::varargs;
  else if (token.is("{"))
    return table();
  else if (!token.is("nil") && !token.is("function"))
    return suffixed();
  if (token.is("function")) {
    size_t const opened = at_;
    step();
    if (now().kind == TokenKind::name)
      return fail(now().offset, "function-name", "a function that is a value has no name",
                  "remove the name");
    return function_body(opened, false);
  }
  Node* const node = make(kind, token);
  step();
  return done(node);
}

Node* Parser::name() {
  if (now().kind != TokenKind::name) {
    if (now().kind != TokenKind::keyword) return fail_unexpected();
    if (before().is(".") && !same_line())
      return fail(before().offset, "missing-value", "a name is missing behind this dot",
                  "write the name, or remove the dot");
    return fail(now().offset, "reserved-word",
                fmt::format("{} is a word of Lua and cannot be a name here", now().text),
                before().is(".") ? fmt::format("write [\"{}\"] without the dot", now().text)
                                 : "choose another name");
  }
  Node* const node = make(NodeKind::name, now());
  step();
  return done(node);
}

Node* Parser::name_or_group() {
  const Token& token = now();
  if (token.kind == TokenKind::name) return name();
  if (token.is("(")) {
    Node* const node = make(NodeKind::group, token);
    step();
    Node* const inner = value();
    if (inner == nullptr) return nullptr;
    adopt(node, inner);
    if (now().is("=")) return fail_one_equals();
    if (!take(")"))
      return fail(token.offset, "not-closed", "this ( is not closed", "write ) behind the value");
    return done(node);
  }
  if (token.kind == TokenKind::end || token.kind == TokenKind::keyword || token.is(")") ||
      token.is("}") || token.is("]") || token.is(","))
    return fail(before().offset, "missing-value",
                fmt::format("a value is missing behind {}", before().text),
                "write the value, or remove what is before it");
  return fail_unexpected();
}

Node* Parser::suffixed() {
  Node* node = name_or_group();
  while (node != nullptr) {
    const Token& token = now();
    if (token.is(".") || token.is("[")) {
      step();
      Node* const index = make(NodeKind::index, now());
      index->begin = node->begin;
      bool const by_name = token.is(".");
      Node* const key = by_name ? name() : value();
      if (key == nullptr) return nullptr;
      if (by_name)
        key->kind = NodeKind::text;
      else if (!take("]"))
        return fail(token.offset, "not-closed", "this [ is not closed", "write ] behind the value");
      adopt(index, node);
      adopt(index, key);
      node = done(index);
    } else if (token.is(":")) {
      if (after().kind != TokenKind::name || (in_condition_ && after().line > token.line))
        return node;
      node = method(node);
    } else if (token.is("(") || token.is("{") || token.kind == TokenKind::text) {
      if (in_condition_ && token.is("{") && after().line > token.line) return node;
      Node* const call = make(NodeKind::call, token);
      call->begin = node->begin;
      adopt(call, node);
      node = arguments(call) ? done(call) : nullptr;
    } else {
      break;
    }
  }
  return node;
}

Node* Parser::method(Node* object) {
  const Token& colon = now();
  step();
  Node* const node = make(NodeKind::method, now());
  node->begin = object->begin;
  step();
  adopt(node, object);
  if (!now().is("(") && !now().is("{") && now().kind != TokenKind::text) {
    if (tables_ > 0)
      return fail(colon.offset, "table-key", "a field of a table gets its value with \"=\"",
                  "write = in place of the colon");
    return fail(colon.offset, "unexpected", "Lua does not expect : here",
                fmt::format("to call it, write :{}(); to read a field, write a dot", node->text));
  }
  return arguments(node) ? done(node) : nullptr;
}

bool Parser::arguments(Node* call) {
  if (now().is("(")) return argument_list(call);
  Node* const one = now().is("{") ? table() : simple();
  adopt(call, one);
  return one != nullptr;
}

bool Parser::argument_list(Node* call) {
  const Token& opened = now();
  if (!same_line())
    note(opened.offset, "ambiguous-call", "Lua takes this ( for a part of the line before",
         "write ; before it if it begins something new");
  step();
  bool const outer = std::exchange(in_condition_, false);
  bool closed = take(")");
  while (!closed && !failed_) {
    adopt(call, value());
    if (failed_) break;
    if (take(",")) continue;
    closed = take(")");
    if (closed) break;
    if (now().is("=")) {
      fail(now().offset, "named-argument", "\"=\" cannot be used here, between ( and )",
           call->parts.back()->kind == NodeKind::name
               ? "put it between { and }, as in {limit = 100}; to compare, write =="
               : "to compare, write ==");
    } else if (starts_value() && same_line()) {
      note(before().end(), "missing-comma", "a comma is missing between two values",
           "write a comma here; to join texts, write ..");
    } else {
      fail(opened.offset, "not-closed", "this ( is not closed", "write ) behind the last value");
    }
  }
  in_condition_ = outer;
  return closed && !failed_;
}

Node* Parser::table() {
  const Token& opened = now();
  Node* const node = make(NodeKind::table, opened);
  step();
  ++tables_;
  bool const outer = std::exchange(in_condition_, false);
  while (!failed_ && !now().is("}"))
    if (!field(node) || !after_field(opened)) break;
  in_condition_ = outer;
  --tables_;
  if (failed_ || !take("}")) return nullptr;
  return done(node);
}

bool Parser::field(Node* table) {
  Node* const node = make(NodeKind::field, now());
  const Token& token = now();
  bool const named = token.kind == TokenKind::name && after().is("=");
  bool const quoted = token.kind == TokenKind::text && (after().is("=") || after().is(":"));
  bool const colon = token.kind == TokenKind::name && after().is(":") && !after(3).is("(") &&
                     !after(3).is("{") && after(3).kind != TokenKind::text;
  if (token.is("[")) {
    step();
    adopt(node, value());
    if (failed_) return false;
    if (!take("]") || !take("=")) {
      fail(now().offset, "table-key", "Lua does not expect this behind the key",
           "write [key] = value");
      return false;
    }
  } else if (named || quoted || colon) {
    Node* const key = make(NodeKind::text, token);
    step();
    adopt(node, key);
    if (quoted)
      note(token.offset, "table-key", "a key in quotes has to be in [ ]",
           fmt::format("write [\"{}\"] = value", token.text));
    else if (colon)
      note(now().offset, "table-key", "a field of a table gets its value with \"=\"",
           "write = in place of the colon");
    step();
  }
  adopt(node, value());
  if (failed_) return false;
  adopt(table, done(node));
  return !failed_;
}

bool Parser::after_field(const Token& opened) {
  if (take(",") || take(";") || now().is("}")) return true;
  bool const back = now().first_in_line && now().indent <= opened.indent;
  bool const entry = (starts_value() || now().is("[")) &&
                     !(now().is("function") && after().kind == TokenKind::name);
  if (entry && !back) {
    note(before().end(), "missing-comma", "a comma is missing behind this entry of the table",
         "write a comma here");
    return true;
  }
  if (now().is("=")) {
    fail(now().offset, "table-key", "before this \"=\" comes a plain name",
         "write name = value, or [\"name\"] = value");
    return false;
  }
  fail(opened.offset, "not-closed", "this { is not closed", "write } behind the last entry");
  return false;
}

Node* Parser::function_body(size_t opened, bool has_self) {
  Node* const node = make(NodeKind::function, tokens_[opened]);
  node->text = {};
  if (has_self) {
    Node* const self = make(NodeKind::name, tokens_[opened]);
    self->text = "self";
    adopt(node, self);
  }
  if (!now().is("("))
    return fail(before().end(), "missing-parameters", "behind the name of a function comes ( and )",
                "write () here");
  bool const outer_condition = std::exchange(in_condition_, false);
  size_t const outer_tables = std::exchange(tables_, 0);
  if (!parameters(node, now())) return nullptr;
  if (now().is("{") && after().line > now().line)
    return fail(now().offset, "braces", "Lua does not put the lines of a block between { and }",
                "remove the {, and write end in place of }");
  opened_.push_back(opened);
  adopt(node, block());
  if (!close_block(opened)) return nullptr;
  in_condition_ = outer_condition;
  tables_ = outer_tables;
  return done(node);
}

bool Parser::parameters(Node* function, const Token& opened) {
  step();
  while (!take(")")) {
    if (now().is("...")) {
      adopt(function, make(NodeKind::varargs, now()));
      step();
    } else {
      Node* const one = name();
      if (one == nullptr) return false;
      adopt(function, one);
    }
    if (take(",") || now().is(")")) continue;
    if (now().is("="))
      fail(now().offset, "parameter", "a parameter cannot get a value here",
           "write name = name or value as the first line of the function");
    else
      fail(opened.offset, "not-closed", "this ( is not closed", "write ) behind the last name");
    return false;
  }
  return true;
}

}  // namespace huntd::check
