// SPDX-License-Identifier: Apache-2.0
// What huntctl does with a terminal beyond colours: by the sequences of ECMA-48 and of xterm, which
// every terminal in use knows.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace huntd::huntctl {

struct TerminalSize {
  size_t columns = 80;
  size_t rows = 24;
};

// True if standard output is a terminal on which text can be drawn in place: not with TERM=dumb.
bool draws_in_place();

// The size of the terminal that is standard output; the default if it has none.
TerminalSize terminal_size();

// The lines of `text` for the top of a terminal with `rows` rows, over what is there. Lines that do
// not fit are counted in the last one; a line that is too wide is cut by the terminal.
std::string drawn_in_place(std::string_view text, size_t rows);

}  // namespace huntd::huntctl
