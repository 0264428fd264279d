// SPDX-License-Identifier: Apache-2.0
// Reads the tokens of a script into a tree. It accepts what LuaJIT accepts, and more: what it finds
// in a script that LuaJIT compiles is dropped.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check/finding.h"
#include "check/tokens.h"
#include "check/tree.h"

namespace huntd::check {

struct Parsed {
  Nodes nodes;
  Node* chunk = nullptr;          // a block; null: the script could not be read to its end
  std::vector<Finding> findings;  // mistakes of syntax
};

// The deepest nesting that is read. Above LuaJIT's own bound of 200, so that its error comes first.
inline constexpr size_t parse_level_max = 220;

// REQUIRES: the script, of which `tokens` are, exists as long as the result.
Parsed parse(std::string_view script, const Tokens& tokens);

// The parser: parse_statements.cc and parse_values.cc.
class Parser {
 public:
  Parser(std::string_view script, const Tokens& tokens)
      : script_(script), tokens_(tokens.tokens), uncertain_(tokens.uncertain) {}
  Parsed parse();

 private:
  // --- tokens ---
  const Token& now() const { return tokens_[at_]; }
  const Token& after(size_t ahead = 1) const {
    return tokens_[at_ + ahead < tokens_.size() ? at_ + ahead : tokens_.size() - 1];
  }
  const Token& before() const { return tokens_[at_ == 0 ? 0 : at_ - 1]; }
  void step() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  bool take(std::string_view sign_or_keyword);
  bool same_line() const { return at_ > 0 && now().line == before().line; }
  // True if the keyword comes later in the line of the current token.
  bool in_this_line(std::string_view keyword) const;
  bool starts_value() const;

  // --- nodes ---
  Node* make(NodeKind kind, const Token& token);
  void adopt(Node* parent, Node* part);  // adds it to `parts`; null is ignored
  Node* done(Node* node);                // `node` ends before the current token

  // --- findings ---
  void note(size_t offset, std::string_view code, std::string message, std::string help);
  // The parser cannot go on. Adds the finding, unless it may result from an earlier one.
  Node* fail(size_t offset, std::string_view code, std::string message, std::string help);
  Node* fail_unexpected();
  // The innermost block that is open has no end, or one before it.
  Node* fail_open_block();
  // The current token is `else`, `elseif` or `until`, and nothing that it could belong to is open.
  Node* fail_without_opener();
  // Something follows `last`, which is `return` or `break`, in its block.
  Node* fail_after_last(const Token& last);
  Node* fail_one_equals();  // the current token is a "=" in a value
  bool in_choice() const;   // an `if` is open in the innermost function

  // --- statements ---
  Node* block();
  Node* statement();
  Node* choice();
  bool condition(Node* parent, std::string_view keyword, std::string_view word);
  bool end_of_condition(Node* parent, std::string_view keyword, std::string_view word);
  bool missing_word(std::string_view keyword, std::string_view word);
  Node* loop_while();
  Node* loop_for();
  Node* loop_repeat();
  bool names(Node* parent);
  Node* local();
  Node* local_function(const Token& begin);
  Node* function_statement();
  Node* returns();
  Node* call_or_assign();
  Node* assign(Node* first);
  std::string_view name_in_help(const Node* target) const;
  Node* other_assignment(Node* target);
  Node* no_statement(Node* value);
  Node* misspelt_statement(const Node* value);
  Node* foreign_statement();
  bool close_block(size_t opened);
  void values(Node* parent);

  // --- values ---
  Node* value(int above = 0);
  Node* operand();
  Node* simple();
  Node* suffixed();
  Node* name_or_group();
  Node* method(Node* object);
  bool arguments(Node* call);
  bool argument_list(Node* call);
  Node* table();
  bool field(Node* table);
  bool after_field(const Token& opened);
  // `opened`: the token `function`.
  Node* function_body(size_t opened, bool has_self);
  bool parameters(Node* function, const Token& opened);
  Node* name();

  std::string_view script_;
  const std::vector<Token>& tokens_;
  bool uncertain_;
  bool failed_ = false;
  size_t at_ = 0;
  size_t level_ = 0;            // of recursion
  std::vector<size_t> opened_;  // the tokens that opened the blocks that are open
  size_t tables_ = 0;           // that are open
  bool in_condition_ = false;
  Parsed parsed_;
};

}  // namespace huntd::check
