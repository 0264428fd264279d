// SPDX-License-Identifier: Apache-2.0
#include "huntctl/terminal.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "huntctl/output.h"

namespace huntd::huntctl {
namespace {

constexpr std::string_view to_the_top = "\x1b[?7l\x1b[H";  // and long lines do not wrap
constexpr std::string_view end_line = "\x1b[K\n";          // clears what was behind it
constexpr std::string_view clear_below = "\x1b[J\x1b[?7h";

constexpr std::string_view enter_screen = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J";
constexpr std::string_view leave_screen = "\x1b[?7h\x1b[0m\x1b[?25h\x1b[?1049l";
constexpr std::array ending_signals = {SIGTERM, SIGHUP, SIGQUIT};

std::atomic<bool> on_screen = false;
bool has_keys = false;
termios modes_before;
std::array<struct sigaction, ending_signals.size()> actions_before;

// Also in signal handlers: write() and tcsetattr() may be called there.
void leave() {
  if (!on_screen.exchange(false)) return;
  (void)!write(STDOUT_FILENO, leave_screen.data(), leave_screen.size());
  if (has_keys) tcsetattr(STDIN_FILENO, TCSANOW, &modes_before);
}

void on_ending_signal(int number) {
  leave();
  signal(number, SIG_DFL);
  raise(number);  // arrives when this function returns
}

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

FullScreen::FullScreen() {
  has_keys = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &modes_before) == 0;
  struct sigaction action = {};
  action.sa_handler = &on_ending_signal;
  for (size_t i = 0; i < ending_signals.size(); ++i)
    sigaction(ending_signals[i], &action, &actions_before[i]);
  set_end_hook(&leave);
  on_screen = true;
  if (has_keys) {
    termios modes = modes_before;
    modes.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    modes.c_cc[VMIN] = 1;
    modes.c_cc[VTIME] = 0;
    modes.c_cc[VSUSP] = _POSIX_VDISABLE;  // a stopped process could not restore the terminal
    tcsetattr(STDIN_FILENO, TCSANOW, &modes);
  }
  (void)!write(STDOUT_FILENO, enter_screen.data(), enter_screen.size());
}

FullScreen::~FullScreen() {
  leave();
  set_end_hook(nullptr);
  for (size_t i = 0; i < ending_signals.size(); ++i)
    sigaction(ending_signals[i], &actions_before[i], nullptr);
}

int FullScreen::keys() const { return has_keys ? STDIN_FILENO : -1; }

std::string drawn_on_screen(const std::vector<std::string>& lines) {
  std::string drawn(to_the_top);
  for (size_t i = 0; i < lines.size(); ++i) {
    drawn += lines[i];
    drawn += "\x1b[K";
    if (i + 1 < lines.size()) drawn += "\n";  // behind the last row it would scroll
  }
  drawn += clear_below;
  return drawn;
}

}  // namespace huntd::huntctl
