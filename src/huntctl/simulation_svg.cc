// SPDX-License-Identifier: Apache-2.0
#include "huntctl/simulation_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <sstream>
#include <string_view>
#include <vector>

#include "huntctl/svg_picture.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

using Figures = SimulationFigures;

// Lengths in SVG units.
constexpr double width = 960;
constexpr double margin = 20;
constexpr double bar_left = 200;
constexpr double bar_right = 620;
constexpr double figures_left = 640;
constexpr double row_height = 22;
constexpr double bar_height = 14;
constexpr double strip_height = 46;
constexpr double section_gap = 18;
constexpr size_t rows_max = 40;    // of loot and of supplies, in the picture
constexpr size_t ranges_max = 16;  // of how many different loot_ids hunters hold
constexpr size_t table_rows_max = 1000;

constexpr std::string_view dark = "fill=\"#1d2a26\"";
constexpr std::string_view grey = "fill=\"#66756f\"";
constexpr std::string_view green = "fill=\"#2f9e83\"";
constexpr std::string_view red = "fill=\"#c2571a\"";

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

double share_of(uint64_t n, uint64_t of) {
  return of == 0 ? 0 : std::min(static_cast<double>(n) / static_cast<double>(of), 1.0);
}

// The picture as it grows from the top.
class Drawing {
 public:
  void head(const SimulationReport& report) {
    for (const std::string& line : lines_of(simulation_head(report))) {
      bool const first = y_ < 2 * margin;
      picture_.words(margin, y_ + 12,
                     first ? "font-size=\"17\" font-weight=\"700\" fill=\"#1d2a26\"" : grey, line);
      y_ += first ? 24 : 18;
    }
  }
  void section(std::string_view name) {
    y_ += section_gap;
    picture_.words(margin, y_ + 12, "font-size=\"13\" font-weight=\"700\" fill=\"#1d2a26\"", name);
    y_ += row_height;
  }
  void bar(std::string_view label, double share, std::string_view style,
           const std::string& figures) {
    this->label(label, y_ + 12);
    picture_.rect(bar_left, y_, bar_right - bar_left, bar_height, "fill=\"#eef1ef\"");
    if (share > 0)
      picture_.rect(bar_left, y_, std::max(1.0, share * (bar_right - bar_left)), bar_height, style);
    picture_.words(figures_left, y_ + 12, dark, figures);
    y_ += row_height;
  }
  // What a supply has given up to the end of each slice of the runs, of its limit.
  void supply(const Figures::Supply& supply, const std::string& figures) {
    double const base = y_ + strip_height - 8;
    double const step = (bar_right - bar_left) / simulation::time_slices;
    label(supply.loot_id, base - 4);
    uint64_t given = 0;
    for (size_t i = 0; i < simulation::time_slices; ++i) {
      given += supply.given_over_time[i];
      double const height = share_of(given, supply.limit) * (strip_height - 12);
      if (height > 0)
        picture_.rect(bar_left + step * static_cast<double>(i), base - height, step - 1, height,
                      green);
    }
    picture_.line(bar_left, base, bar_right, base, "stroke=\"#66756f\"");
    picture_.words(figures_left, base - 4, dark, figures);
    y_ += strip_height;
  }
  void note(std::string_view text) {
    picture_.words(margin, y_ + 12, grey, text);
    y_ += row_height;
  }
  std::string finish() const {
    return picture_.finish(width, y_ + margin, "Simulated runs of a hunt");
  }

 private:
  // An id of 64 characters is wider than its column.
  void label(std::string_view text, double y) {
    constexpr size_t shown_max = 26;
    std::string shown(text.substr(0, shown_max));
    if (shown.size() < text.size()) shown += "…";
    picture_.words(bar_left - 12, y, "text-anchor=\"end\" fill=\"#1d2a26\"", shown);
  }

  SvgPicture picture_;
  double y_ = margin;
};

void draw_outcomes(Drawing& drawing, const Figures& figures) {
  drawing.section("Outcomes");
  for (size_t i = 0; i < run_ends; ++i) {
    uint64_t const runs = figures.ends[i];
    RunEnd const end = static_cast<RunEnd>(i);
    if (runs == 0 && end != RunEnd::ok) continue;
    drawing.bar(run_end_text(end), share_of(runs, figures.runs), is_failure(end) ? red : green,
                fmt::format("{}, {}", counted(runs, "run"), per_cent_text(runs, figures.runs)));
  }
}

void draw_loot(Drawing& drawing, const Figures& figures) {
  drawing.section("Loot: in how many of the runs");
  size_t const shown = std::min(figures.loot.size(), rows_max);
  for (size_t i = 0; i < shown; ++i) {
    const Figures::Loot& one = figures.loot[i];
    drawing.bar(
        one.loot_id, share_of(one.runs, figures.runs), green,
        fmt::format("{}; {} given; held by {}", per_cent_text(one.runs, figures.runs),
                    count_text(one.given), per_cent_text(one.hunters, figures.plan.hunters)));
  }
  if (figures.loot.size() > shown)
    drawing.note(fmt::format("and {} more", counted(figures.loot.size() - shown, "loot_id")));
}

std::string supply_text(const Figures& figures, const Figures::Supply& supply) {
  std::string text =
      fmt::format("{} of {} given", count_text(supply.given), count_text(supply.limit));
  if (supply.used_up_after > 0)
    text += fmt::format("; used up after {} of the runs",
                        per_cent_text(supply.used_up_after, figures.plan.runs()));
  return text;
}

void draw_supplies(Drawing& drawing, const Figures& figures) {
  if (figures.supplies.empty()) return;
  drawing.section("Supplies: how much of each is given, from the first run to the last");
  size_t const shown = std::min(figures.supplies.size(), rows_max);
  for (size_t i = 0; i < shown; ++i)
    drawing.supply(figures.supplies[i], supply_text(figures, figures.supplies[i]));
  if (figures.supplies.size() > shown)
    drawing.note(fmt::format("and {} more", counted(figures.supplies.size() - shown, "supply")));
}

std::string full_set_text(const Figures& figures) {
  return fmt::format("a full set of all {}: {} ({})", figures.loot.size(),
                     counted(figures.full_sets(), "hunter"),
                     per_cent_text(figures.full_sets(), figures.plan.hunters));
}

void draw_holders(Drawing& drawing, const Figures& figures) {
  if (figures.loot.empty()) return;
  drawing.section("Different loot per hunter");
  uint64_t const hunters = figures.plan.hunters;
  for (const HoldersRow& row : holders_rows(figures, ranges_max))
    drawing.bar(
        row.loots, share_of(row.hunters, hunters), green,
        fmt::format("{}, {}", counted(row.hunters, "hunter"), per_cent_text(row.hunters, hunters)));
  drawing.note(full_set_text(figures));
}

// --- the page ---

using Cells = std::vector<std::string>;

// The first cell of each row is a text, the others are figures.
class HtmlTable {
 public:
  HtmlTable(std::string_view caption, std::initializer_list<std::string_view> heads) {
    text_ = fmt::format("<table>\n<caption>{}</caption>\n<tr>", xml_text(caption));
    for (std::string_view const head : heads) text_ += "<th>" + xml_text(head) + "</th>";
    text_ += "</tr>\n";
  }
  void row(const Cells& cells) {
    text_ += "<tr>";
    for (const std::string& cell : cells) text_ += "<td>" + xml_text(cell) + "</td>";
    text_ += "</tr>\n";
  }
  std::string str() const { return text_ + "</table>\n"; }

 private:
  std::string text_;
};

std::string loot_table(const Figures& figures) {
  HtmlTable table("Loot", {"loot_id", "given", "runs", "of runs", "per hunter", "held by"});
  for (size_t i = 0; i < std::min(figures.loot.size(), table_rows_max); ++i) {
    const Figures::Loot& one = figures.loot[i];
    table.row({one.loot_id, count_text(one.given), count_text(one.runs),
               per_cent_text(one.runs, figures.runs),
               fmt::format("{:.4f}", static_cast<double>(one.given) /
                                         static_cast<double>(figures.plan.hunters)),
               counted(one.hunters, "hunter")});
  }
  return table.str();
}

std::string supply_table(const Figures& figures) {
  if (figures.supplies.empty()) return "";
  HtmlTable table("Supplies", {"loot_id", "limit", "given", "used up after", "replies gone"});
  for (const Figures::Supply& one : figures.supplies)
    table.row({one.loot_id, count_text(one.limit), count_text(one.given),
               one.used_up_after == 0 ? "-" : counted(one.used_up_after, "run"),
               count_text(one.gone)});
  return table.str();
}

std::string reason_table(const SimulationReport& report) {
  const Figures& figures = report.figures;
  if (figures.reasons.empty()) return "";
  HtmlTable table("Runs that were rejected or failed", {"what", "the first", "again"});
  for (const Figures::Reason& reason : figures.reasons)
    table.row({reason_text(reason),
               fmt::format("{}, hunt {}: {}",
                           simulated_hunter_id(figures.plan.hunter_of(reason.first.run)),
                           figures.plan.hunt_of(reason.first.run) + 1, reason.first.reason),
               again_text(report, reason.first)});
  return table.str();
}

}  // namespace

std::string simulation_svg(const SimulationReport& report) {
  Drawing drawing;
  drawing.head(report);
  draw_outcomes(drawing, report.figures);
  draw_loot(drawing, report.figures);
  draw_supplies(drawing, report.figures);
  draw_holders(drawing, report.figures);
  drawing.section("Limits of a run");
  for (const std::string& line :
       lines_of(limits_text(report) + (report.times ? times_text(report) : "")))
    drawing.note(line);
  return drawing.finish();
}

std::string simulation_html(const SimulationReport& report) {
  const SimulationPlan& plan = report.figures.plan;
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><title>{0}</title>\n"
      "<style>body{{font:14px system-ui,sans-serif;margin:2em auto;max-width:960px;color:#1d2a26}}"
      "svg{{max-width:100%;height:auto}}table{{border-collapse:collapse;margin:1.5em 0}}"
      "caption{{font-weight:700;text-align:left}}td,th{{padding:.2em .8em;border-bottom:1px solid "
      "#dfe5e1;text-align:left;overflow-wrap:anywhere}}</style></head>\n<body>\n<h1>{0}</h1>\n"
      "{1}{2}{3}{4}</body></html>\n",
      xml_text(fmt::format("{}: the odds", plan.hunt_id)), simulation_svg(report),
      loot_table(report.figures), supply_table(report.figures), reason_table(report));
}

}  // namespace huntd::huntctl
