// SPDX-License-Identifier: Apache-2.0
#include "huntctl/latency_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

constexpr int columns_per_decade = 5;
constexpr int decades = 7;  // from 1 µs
constexpr std::string_view axis = "1µs       100µs     10ms      1s";
constexpr std::array<std::string_view, 8> blocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

int column_of(double us) {
  // A bound belongs to the column that ends at it. The margin allows for bounds rounded to three
  // decimals.
  double const column = std::ceil(std::log10(std::max(us, 1.0)) * columns_per_decade - 0.01) - 1;
  return static_cast<int>(std::clamp(column, 0.0, columns_per_decade * decades - 1.0));
}

std::string bars(const StageLatency& stage, bool colour) {
  std::array<uint64_t, columns_per_decade * decades> counts{};
  for (auto const& [up_to_us, n] : stage.distribution)
    counts[static_cast<size_t>(column_of(up_to_us))] += n;
  uint64_t const count_max = *std::max_element(counts.begin(), counts.end());
  int const median = column_of(stage.p50_us);
  int const p99 = column_of(stage.p99_us);

  std::string text;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) {
      text += ' ';
      continue;
    }
    // The square root keeps small counts visible beside a large one.
    double const height =
        std::sqrt(static_cast<double>(counts[i]) / static_cast<double>(count_max));
    auto const block = static_cast<size_t>(std::lround(height * (blocks.size() - 1)));
    int const column = static_cast<int>(i);
    if (colour) text += column <= median ? "\x1b[32m" : column <= p99 ? "\x1b[33m" : "\x1b[31m";
    text += blocks[block];
    if (colour) text += "\x1b[0m";
  }
  return text;
}

std::string table(const CoreLatency& core, bool colour) {
  TextTable table;
  table.add_column(core.name, TextTable::Align::left);
  for (const char* head : {"count", "p50", "p90", "p99", "p99.9", "max"})
    table.add_column(head, TextTable::Align::right);
  table.add_column(std::string(axis), TextTable::Align::left);
  for (const StageLatency& stage : core.stages) {
    std::vector<std::string> row = {stage.stage, count_text(stage.count)};
    for (double const us : {stage.p50_us, stage.p90_us, stage.p99_us, stage.p99_9_us, stage.max_us})
      row.push_back(stage.count == 0 ? "-" : time_text(us));
    row.push_back(stage.count == 0 ? "" : bars(stage, colour));
    table.add_row(std::move(row));
  }
  return table.str();
}

}  // namespace

std::string latency_text(const LatencyReport& report, bool colour) {
  std::string text;
  for (const CoreLatency& core : report.cores) text += table(core, colour) + '\n';
  if (report.cores.size() > 1) text += table(report.all, colour) + '\n';
  if (report.from_ms == 0)
    return text + fmt::format("since the start, {} ago\n",
                              span_text(report.taken_at_ms - report.started_at_ms));
  return text +
         fmt::format("in {:.1f} s, until {}{}\n",
                     static_cast<double>(report.taken_at_ms - report.from_ms) / 1e3,
                     utc_text(report.taken_at_ms),
                     report.from_ms == report.started_at_ms ? " (huntd started in between)" : "");
}

}  // namespace huntd::huntctl
