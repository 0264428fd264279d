// SPDX-License-Identifier: Apache-2.0
// What huntctl does with a terminal beyond colours: by the sequences of ECMA-48 and of xterm, which
// every terminal in use knows.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

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

// While it exists, the terminal of standard output shows a screen of its own, without a cursor, and
// keys arrive at standard input at once and are not shown, if that is a terminal too. What was there
// before is restored by the destructor, at the end of the process by an error, and before SIGTERM,
// SIGHUP and SIGQUIT end it. REQUIRES: draws_in_place(), one at a time.
class FullScreen {
 public:
  FullScreen();
  ~FullScreen();
  FullScreen(const FullScreen&) = delete;
  FullScreen& operator=(const FullScreen&) = delete;

  // The descriptor of the keys; -1 if there are none.
  int keys() const;
};

// The lines for the whole of the screen, from its top; REQUIRES: no more than it has rows.
std::string drawn_on_screen(const std::vector<std::string>& lines);

}  // namespace huntd::huntctl
