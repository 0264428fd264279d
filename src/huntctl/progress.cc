// SPDX-License-Identifier: Apache-2.0
#include "huntctl/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/clock.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

constexpr int64_t terminal_every_ms = 100;
constexpr int64_t line_every_ms = 5000;
constexpr size_t bar_columns = 24;

}  // namespace

std::string progress_text(const std::string& what, uint64_t done, uint64_t total, size_t width) {
  if (total == 0) return fmt::format("{}  {}", what, count_text(done));
  uint64_t const part = std::min(done, total);
  std::string bar;
  if (width > 0) {
    size_t const filled = static_cast<size_t>(part * width / total);
    bar = fmt::format(" [{}{}]", std::string(filled, '#'), std::string(width - filled, ' '));
  }
  return fmt::format("{}{} {:3} %  {} of {}", what, bar, part * 100 / total, count_text(done),
                     count_text(std::max(done, total)));
}

Progress::Progress(std::string what, uint64_t total)
    : what_(std::move(what)),
      total_(total),
      terminal_(isatty(STDERR_FILENO) == 1),
      next_at_ms_(monotonic_ms() + (terminal_ ? terminal_every_ms : line_every_ms)) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
}

bool Progress::due() {
  int64_t const now_ms = monotonic_ms();
  if (now_ms < next_at_ms_) return false;
  next_at_ms_ = now_ms + (terminal_ ? terminal_every_ms : line_every_ms);
  return true;
}

void Progress::show(const std::string& line) {
  std::fprintf(stderr, terminal_ ? "\r\x1b[K%s" : "%s\n", line.c_str());
  shown_ = terminal_;
}

void Progress::at(uint64_t done) {
  done_ = done;
  if (due()) show(progress_text(what_, done_, total_, terminal_ ? bar_columns : 0));
}

void Progress::say(const std::string& text) {
  if (due()) show(what_ + ": " + text);
}

}  // namespace huntd::huntctl
