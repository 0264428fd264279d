// SPDX-License-Identifier: Apache-2.0
// Splits a script into the words and signs of Lua. What people write by the habit of another
// language or of a word processor is found here, and becomes what was probably meant.
#pragma once
#include <cstddef>
#include <string_view>
#include <vector>

#include "check/finding.h"

namespace huntd::check {

enum class TokenKind {
  name,
  keyword,
  number,
  text,  // a string
  sign,
  end,  // of the script; always the last token
};

struct Token {
  TokenKind kind = TokenKind::end;
  // As Lua writes it: "~=" for a "!=" in the script. A text is without its quotes; its escapes are
  // as in the script. Views into the script or of static storage.
  std::string_view text;
  size_t offset = 0;  // in the script
  size_t bytes = 0;   // in the script
  size_t line = 1;
  // The columns before the first token of its line; a tab goes to the next multiple of 4.
  size_t indent = 0;
  bool first_in_line = false;

  bool is(std::string_view sign_or_keyword) const {
    return (kind == TokenKind::sign || kind == TokenKind::keyword) && text == sign_or_keyword;
  }
  size_t end() const { return offset + bytes; }
};

struct Tokens {
  std::vector<Token> tokens;
  std::vector<Finding> findings;
  // Errors also if LuaJIT compiles the script: it takes a curly quote for a letter.
  std::vector<Finding> odd_characters;
  // What was meant is not certain, so an error that is found later may be a result of this one.
  bool uncertain = false;
  // A text or a comment has no end: what follows is not known.
  bool broken = false;
};

// `script` must exist as long as the tokens.
Tokens split_script(std::string_view script);

// All keywords.
const std::vector<std::string_view>& keywords();

}  // namespace huntd::check
