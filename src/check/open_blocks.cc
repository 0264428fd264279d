// SPDX-License-Identifier: Apache-2.0
#include "check/open_blocks.h"

#include <algorithm>

namespace huntd::check {
namespace {

struct Open {
  size_t opened = 0;
  size_t indent = 0;
  std::optional<size_t> body_indent;  // of its first line; nothing: it has none yet
  std::optional<size_t> else_if;
  bool waits_for_do = false;
  size_t brackets = 0;  // that were open at its opener
};

class Search {
 public:
  explicit Search(const std::vector<Token>& tokens) : tokens_(tokens) {}

  std::optional<OpenBlock> run(size_t stop) {
    for (size_t at = 0; at < std::min(stop + 1, tokens_.size()); ++at) {
      if (tokens_[at].first_in_line && at > 0 && goes_back(at)) return found(at);
      take(at);
    }
    return std::nullopt;
  }

 private:
  static bool closes(const Token& token) {
    return token.is("end") || token.is("until") || token.is("else") || token.is("elseif");
  }

  // The line of this token shows that the innermost block should have ended before it.
  bool goes_back(size_t at) {
    if (open_.empty()) return false;
    Open& open = open_.back();
    const Token& token = tokens_[at];
    if (brackets_ != open.brackets || token.is(")") || token.is("}") || token.is("]")) return false;
    size_t const indent = token.indent;
    if (closes(token)) {
      bool const of_if = token.is("else") || token.is("elseif");
      if (of_if && !tokens_[open.opened].is("if") && in_choice()) return true;
      return indent < open.indent;
    }
    if (!open.body_indent) {
      open.body_indent = indent;
      return false;
    }
    return *open.body_indent > open.indent && indent <= open.indent;
  }

  bool in_choice() const {
    for (auto open = open_.rbegin(); open != open_.rend(); ++open) {
      if (tokens_[open->opened].is("function")) return false;
      if (tokens_[open->opened].is("if")) return true;
    }
    return false;
  }

  OpenBlock found(size_t at) const {
    const Open& open = open_.back();
    return {open.opened, open.else_if, at};
  }

  void take(size_t at) {
    const Token& token = tokens_[at];
    if (token.is("(") || token.is("{") || token.is("[")) ++brackets_;
    if ((token.is(")") || token.is("}") || token.is("]")) && brackets_ > 0) --brackets_;
    if (token.is("end") || token.is("until")) {
      if (!open_.empty()) open_.pop_back();
      return;
    }
    if (token.is("do") && !open_.empty() && open_.back().waits_for_do) {
      open_.back().waits_for_do = false;
      return;
    }
    bool const loop = token.is("for") || token.is("while");
    if (!loop && !token.is("if") && !token.is("function") && !token.is("do") && !token.is("repeat"))
      return;
    bool const behind_else = token.is("if") && at > 0 && tokens_[at - 1].is("else") &&
                             tokens_[at - 1].line == token.line;
    if (behind_else && !open_.empty() && !open_.back().else_if) open_.back().else_if = at - 1;
    open_.push_back({at, token.indent, std::nullopt, std::nullopt, loop, brackets_});
  }

  const std::vector<Token>& tokens_;
  std::vector<Open> open_;
  size_t brackets_ = 0;
};

}  // namespace

std::optional<OpenBlock> find_open_block(const std::vector<Token>& tokens, size_t stop) {
  return Search(tokens).run(stop);
}

}  // namespace huntd::check
