// SPDX-License-Identifier: Apache-2.0
#include "huntctl/simulation_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "huntctl/shell_word.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

using Figures = SimulationFigures;
using Align = TextTable::Align;

constexpr size_t loot_rows_max = 40;
constexpr size_t supply_rows_max = 40;
constexpr size_t reason_rows_max = 20;
constexpr size_t holders_rows_max = 16;
constexpr size_t held_shown_max = 20;  // in a command that plays a run again
constexpr size_t bar_columns = 20;
constexpr std::array<std::string_view, 8> eighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
constexpr std::array<std::string_view, 9> heights = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

std::string bar(uint64_t n, uint64_t of) {
  if (of == 0) return "";
  double const parts =
      static_cast<double>(n) / static_cast<double>(of) * static_cast<double>(bar_columns * 8);
  size_t const filled = static_cast<size_t>(std::lround(std::min(parts, bar_columns * 8.0)));
  std::string text;
  for (size_t i = 0; i < filled / 8; ++i) text += "█";
  text += eighths[filled % 8];
  return text.empty() && n > 0 ? std::string(eighths[1]) : text;
}

// What a supply gave in each slice of the runs.
std::string slices(const Figures::Supply& supply) {
  uint64_t const most =
      *std::max_element(supply.given_over_time.begin(), supply.given_over_time.end());
  std::string text;
  for (uint64_t const given : supply.given_over_time) {
    size_t const height = most == 0 ? 0 : static_cast<size_t>((given * 8 + most - 1) / most);
    text += heights[height];
  }
  return text;
}

TextTable table_of(std::initializer_list<const char*> heads, bool bars, const char* bar_head) {
  TextTable table;
  bool first = true;
  for (const char* const head : heads) {
    table.add_column(head, first ? Align::left : Align::right);
    first = false;
  }
  if (bars) table.add_column(bar_head, Align::left);
  return table;
}

void add_row(TextTable& table, std::vector<std::string> cells, bool bars, std::string bar) {
  if (bars) cells.push_back(std::move(bar));
  table.add_row(std::move(cells));
}

std::string more_text(size_t all, size_t shown, std::string_view noun) {
  return all > shown ? fmt::format("and {} more; --json has them\n", counted(all - shown, noun))
                     : "";
}

std::string outcomes(const Figures& figures, bool bars) {
  TextTable table = table_of({"outcome", "runs", "of runs"}, bars, "");
  for (size_t i = 0; i < run_ends; ++i) {
    uint64_t const runs = figures.ends[i];
    if (runs == 0 && i != 0) continue;
    add_row(
        table,
        {run_end_text(static_cast<RunEnd>(i)), count_text(runs), per_cent_text(runs, figures.runs)},
        bars, bar(runs, figures.runs));
  }
  return table.str();
}

std::string loot(const Figures& figures, bool bars) {
  if (figures.loot.empty()) return "no loot was given\n";
  TextTable table =
      table_of({"loot", "given", "of runs", "per hunter", "held by"}, bars, "of runs");
  size_t const shown = std::min(figures.loot.size(), loot_rows_max);
  for (size_t i = 0; i < shown; ++i) {
    const Figures::Loot& one = figures.loot[i];
    double const per_hunter =
        static_cast<double>(one.given) / static_cast<double>(figures.plan.hunters);
    add_row(table,
            {one.loot_id, count_text(one.given), per_cent_text(one.runs, figures.runs),
             fmt::format("{:.4f}", per_hunter), per_cent_text(one.hunters, figures.plan.hunters)},
            bars, bar(one.runs, figures.runs));
  }
  return table.str() + more_text(figures.loot.size(), shown, "loot_id");
}

std::string used_up_text(const Figures::Supply& supply, uint64_t runs_planned) {
  if (supply.used_up_after == 0) return "-";
  return fmt::format("{} ({} of all)", counted(supply.used_up_after, "run"),
                     per_cent_text(supply.used_up_after, runs_planned));
}

std::string supplies(const Figures& figures, bool bars) {
  if (figures.supplies.empty()) return "";
  TextTable table =
      table_of({"supply", "limit", "given", "used", "used up after", "gone"}, bars, "over time");
  size_t const shown = std::min(figures.supplies.size(), supply_rows_max);
  for (size_t i = 0; i < shown; ++i) {
    const Figures::Supply& one = figures.supplies[i];
    add_row(table,
            {one.loot_id, count_text(one.limit), count_text(one.given),
             per_cent_text(one.given, one.limit), used_up_text(one, figures.plan.runs()),
             count_text(one.gone)},
            bars, slices(one));
  }
  return "\n" + table.str() + more_text(figures.supplies.size(), shown, "supply");
}

std::string holders(const Figures& figures, bool bars) {
  if (figures.loot.empty()) return "";
  TextTable table = table_of({"different loot", "hunters", "of hunters"}, bars, "");
  for (const HoldersRow& row : holders_rows(figures, holders_rows_max))
    add_row(table,
            {row.loots, count_text(row.hunters), per_cent_text(row.hunters, figures.plan.hunters)},
            bars, bar(row.hunters, figures.plan.hunters));
  return fmt::format("\n{}a full set of all {}: {} ({})\n", table.str(), figures.loot.size(),
                     counted(figures.full_sets(), "hunter"),
                     per_cent_text(figures.full_sets(), figures.plan.hunters));
}

std::string reasons(const SimulationReport& report) {
  const Figures& figures = report.figures;
  std::string text;
  size_t const shown = std::min(figures.reasons.size(), reason_rows_max);
  for (size_t i = 0; i < shown; ++i) {
    const Figures::Reason& reason = figures.reasons[i];
    const Figures::Example& first = reason.first;
    text += fmt::format("\n{}\n  first   {}, hunt {}: {}\n", reason_text(reason),
                        simulated_hunter_id(figures.plan.hunter_of(first.run)),
                        figures.plan.hunt_of(first.run) + 1, printable(first.reason));
    if (is_failure(reason.end)) text += fmt::format("  again   {}\n", again_text(report, first));
  }
  return text + more_text(figures.reasons.size(), shown, "reason");
}

}  // namespace

std::string per_cent_text(uint64_t n, uint64_t of) {
  if (n == 0 || of == 0) return "0 %";
  if (n == of) return "100 %";
  double const per_cent = 100.0 * static_cast<double>(n) / static_cast<double>(of);
  if (per_cent > 99.9 && n < of) return ">99.9 %";
  int const decimals = std::clamp(2 - static_cast<int>(std::floor(std::log10(per_cent))), 0, 7);
  return fmt::format("{:.{}f} %", per_cent, decimals);
}

std::string counted(uint64_t n, std::string_view noun) {
  std::string plural(noun);
  if (plural.ends_with("y"))
    plural.replace(plural.size() - 1, 1, "ies");
  else
    plural += 's';
  return fmt::format("{} {}", count_text(n), n == 1 ? noun : plural);
}

std::string simulation_head(const SimulationReport& report) {
  const SimulationPlan& plan = report.figures.plan;
  std::string text =
      fmt::format("{}: {} with {} each, {}\n", plan.hunt_id, counted(plan.hunters, "hunter"),
                  counted(plan.hunts, "hunt"), counted(report.figures.runs, "run"));
  text += fmt::format("seed {}, hunt.now {}", plan.seed, utc_text(plan.now_ms));
  if (plan.every_ms > 0)
    text += fmt::format(", a hunt of a hunter every {}",
                        span_text(static_cast<int64_t>(plan.every_ms)));
  text += '\n';
  if (!report.stopped.empty())
    text += fmt::format("stopped after {} of {} runs: {}\n", count_text(report.figures.runs),
                        count_text(plan.runs()), report.stopped);
  else if (report.figures.runs < plan.runs())
    text += fmt::format("interrupted after {} of {} runs\n", count_text(report.figures.runs),
                        count_text(plan.runs()));
  return text;
}

std::string reason_text(const Figures::Reason& reason) {
  return fmt::format("{} {}: {}", counted(reason.runs, "run"), run_end_text(reason.end),
                     reason.text.empty() ? "other reasons" : printable(reason.text));
}

std::string again_text(const SimulationReport& report, const Figures::Example& example) {
  const SimulationPlan& plan = report.figures.plan;
  std::string text = fmt::format(
      "huntctl try {} {} --seed {:016x}{:016x} --now {}", shell_word(report.script),
      simulated_hunter_id(plan.hunter_of(example.run)), example.seed[0], example.seed[1],
      plan.now_ms + static_cast<int64_t>(plan.hunt_of(example.run) * plan.every_ms));
  std::string const held = counts_word(example.held);
  bool const short_enough = example.held.size() <= held_shown_max;
  if (!held.empty()) text += " --held " + (short_enough ? held : "...");
  text += supply_options(example.gone, example.left);
  if (!report.input.empty()) text += " --input " + shell_word(report.input);
  return text;
}

std::vector<HoldersRow> holders_rows(const Figures& figures, size_t rows) {
  const std::vector<uint64_t>& hunters = figures.hunters_by_loot;
  size_t const per_row = (hunters.size() + rows - 1) / rows;
  std::vector<HoldersRow> found;
  for (size_t from = 0; from < hunters.size(); from += per_row) {
    size_t const to = std::min(from + per_row, hunters.size());
    HoldersRow row;
    row.loots = to - from == 1 ? std::to_string(from) : fmt::format("{}-{}", from, to - 1);
    for (size_t i = from; i < to; ++i) row.hunters += hunters[i];
    found.push_back(std::move(row));
  }
  return found;
}

std::string times_text(const SimulationReport& report) {
  const Figures::Times& times = report.figures.times;
  auto const text = [](uint64_t ns) { return time_text(static_cast<double>(ns) / 1e3); };
  double const wall_s = static_cast<double>(times.wall_ns) / 1e9;
  return fmt::format(
      "script time  p50 {}, p90 {}, p99 {}, max {}\n{} in {:.1f} s, {:.0f} per second\n",
      text(times.p50_ns), text(times.p90_ns), text(times.p99_ns), text(times.max_ns),
      counted(report.figures.runs, "run"), wall_s,
      wall_s > 0 ? static_cast<double>(report.figures.runs) / wall_s : 0);
}

std::string limits_text(const SimulationReport& report) {
  const SimulationPlan& plan = report.figures.plan;
  constexpr double mebibyte = 1024.0 * 1024.0;
  return fmt::format(
      "limits: {} ms, reached by {}; {:.3g} MiB, reached by {}\n", plan.deadline_ms,
      counted(report.figures.ends[static_cast<size_t>(RunEnd::deadline)], "run"),
      static_cast<double>(plan.memory_bytes) / mebibyte,
      counted(report.figures.ends[static_cast<size_t>(RunEnd::out_of_memory)], "run"));
}

std::string simulation_text(const SimulationReport& report, bool bars) {
  const Figures& figures = report.figures;
  std::string text = simulation_head(report);
  text += "\n" + outcomes(figures, bars);
  text += "\n" + loot(figures, bars);
  text += supplies(figures, bars);
  text += holders(figures, bars);
  text += reasons(report);
  text += "\n" + limits_text(report);
  if (report.times) text += times_text(report);
  return text;
}

}  // namespace huntd::huntctl
