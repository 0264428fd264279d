// SPDX-License-Identifier: Apache-2.0
// Finds the block that lacks its end, by how the lines are indented.
#pragma once
#include <cstddef>
#include <optional>
#include <vector>

#include "check/tokens.h"

namespace huntd::check {

struct OpenBlock {
  size_t opened = 0;              // the token that opens it: function, if, for, while, do, repeat
  std::optional<size_t> else_if;  // the token `else` of an "else if" in it
  size_t end_before = 0;          // the first token that seems to be behind it
};

// Looks at the tokens before `stop`. Returns the first block that seems to have no end: the lines
// go back to the column of its opener, and it is still open. Nothing if the lines do not show it.
std::optional<OpenBlock> find_open_block(const std::vector<Token>& tokens, size_t stop);

}  // namespace huntd::check
