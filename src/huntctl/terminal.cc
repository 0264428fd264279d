// SPDX-License-Identifier: Apache-2.0
#include "huntctl/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace huntd::huntctl {
namespace {

constexpr std::string_view to_the_top = "\x1b[?7l\x1b[H";  // and long lines do not wrap
constexpr std::string_view end_line = "\x1b[K\n";          // clears what was behind it
constexpr std::string_view clear_below = "\x1b[J\x1b[?7h";

}  // namespace

bool draws_in_place() {
  const char* const terminal = std::getenv("TERM");
  if (terminal != nullptr && std::strcmp(terminal, "dumb") == 0) return false;
  return isatty(STDOUT_FILENO) == 1;
}

TerminalSize terminal_size() {
  TerminalSize size;
  winsize seen = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &seen) != 0) return size;
  if (seen.ws_col > 0) size.columns = seen.ws_col;
  if (seen.ws_row > 0) size.rows = seen.ws_row;
  return size;
}

std::string drawn_in_place(std::string_view text, size_t rows) {
  auto const lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  // The cursor stays below the last line; in the last row it would scroll the terminal.
  size_t const room = std::max<size_t>(rows, 3) - 1;
  size_t const shown = lines <= room ? lines : room - 1;
  std::string drawn(to_the_top);
  for (size_t i = 0; i < shown; ++i) {
    size_t const end = text.find('\n');
    drawn += text.substr(0, end);
    drawn += end_line;
    text.remove_prefix(end + 1);
  }
  if (shown < lines) drawn += fmt::format("({} more lines){}", lines - shown, end_line);
  drawn += clear_below;
  return drawn;
}

}  // namespace huntd::huntctl
