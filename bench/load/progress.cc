// SPDX-License-Identifier: Apache-2.0
#include "progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "huntctl/text_table.h"

namespace huntd::load {
namespace {

using huntctl::count_text;
using huntctl::time_text;

uint64_t per_second(uint64_t count, double seconds) {
  return seconds <= 0 ? 0 : static_cast<uint64_t>(static_cast<double>(count) / seconds + 0.5);
}

}  // namespace

Progress::Progress() : terminal_(isatty(STDERR_FILENO) == 1) {}

void Progress::show(std::string_view text) {
  // One write, so that lines of two programs do not mix.
  fmt::print(stderr, "{}", terminal_ ? fmt::format("\r{}\x1b[K", text) : fmt::format("{}\n", text));
  shown_ = true;
}

void Progress::connecting(uint32_t open, uint32_t wanted) {
  show(fmt::format("connecting  {} of {}", count_text(open), count_text(wanted)));
}

void Progress::load(const Load& now, const HistogramSnapshot& recent, double since_s) {
  auto const time = [&](double percent) {
    return recent.count() == 0
               ? std::string("-")
               : time_text(static_cast<double>(recent.percentile_ns(percent)) / 1e3);
  };
  show(fmt::format(
      "{:5.1f} s  {:<8}  sent {}/s  answered {}/s  p50 {}  p99 {}  outstanding {}  errors {}",
      now.elapsed_s, now.phase, count_text(per_second(now.sent - sent_, since_s)),
      count_text(per_second(now.answered - answered_, since_s)), time(50), time(99),
      count_text(now.outstanding), count_text(now.errors)));
  sent_ = now.sent;
  answered_ = now.answered;
}

void Progress::end() {
  if (terminal_ && shown_) fmt::print(stderr, "\n");
}

}  // namespace huntd::load
