// SPDX-License-Identifier: Apache-2.0
#include "huntctl/latency_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "huntctl/svg_picture.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

// Lengths in SVG units (pixels at its natural size).
constexpr double width = 960;
constexpr double margin = 20;
constexpr double plot_left = 190;
constexpr double plot_right = 660;
constexpr double title_height = 78;
constexpr double strip_height = 34;
constexpr double stage_gap = 16;
constexpr double axis_height = 40;
constexpr double figure_width = 70;
// The axis is from 1 µs to 10 s, after one cell for shorter times.
constexpr int axis_decades = 7;
constexpr double cells_per_decade = 10;

struct Percentile {
  std::string_view head;
  std::string_view colour;
  double StageLatency::*us;
};
constexpr Percentile percentiles[] = {{"p50", "#1d6fb8", &StageLatency::p50_us},
                                      {"p99", "#c2571a", &StageLatency::p99_us},
                                      {"p99.9", "#a3293d", &StageLatency::p99_9_us}};

double x_of(double us) {
  double const cell = std::log10(us) * cells_per_decade + 1;
  double const position = cell / (axis_decades * cells_per_decade + 1);
  return plot_left + (plot_right - plot_left) * std::clamp(position, 0.0, 1.0);
}

// Draws one core's histogram of one stage. `base` is the y of its base line.
void draw_strip(SvgPicture& picture, const CoreLatency& core, const StageLatency& stage,
                double base) {
  picture.line(plot_left, base, plot_right, base, "stroke=\"#dfe5e1\"");
  picture.words(plot_left - 12, base - 4, "text-anchor=\"end\" fill=\"#66756f\"", core.name);
  if (stage.count == 0) {
    picture.words(plot_right + 24, base - 4, "fill=\"#66756f\"", "nothing recorded");
    return;
  }
  uint64_t count_max = 0;
  for (auto const& [up_to_us, n] : stage.distribution) count_max = std::max(count_max, n);
  double const cell_width = x_of(1) - plot_left;
  for (auto const& [up_to_us, n] : stage.distribution) {
    // The square root keeps small counts visible beside a large one.
    double const share = std::sqrt(static_cast<double>(n) / static_cast<double>(count_max));
    double const height = std::max(1.0, share * (strip_height - 8));
    double const left = x_of(up_to_us) - cell_width;
    picture.rect(left, base - height, cell_width - 1, height, "fill=\"#2f9e83\"");
  }
  double figure_x = plot_right + 24;
  for (const Percentile& percentile : percentiles) {
    double const x = x_of(stage.*percentile.us);
    picture.line(x, base - strip_height + 5, x, base,
                 fmt::format("stroke=\"{}\" stroke-width=\"2\"", percentile.colour));
    picture.words(figure_x, base - 4, fmt::format("fill=\"{}\"", percentile.colour),
                  time_text(stage.*percentile.us));
    figure_x += figure_width;
  }
  picture.words(figure_x, base - 4, "fill=\"#1d2a26\"", time_text(stage.max_us));
}

void draw_axis(SvgPicture& picture, double top, double bottom) {
  for (int decade = 0; decade <= axis_decades; ++decade) {
    double const us = std::pow(10, decade);
    picture.line(x_of(us), top, x_of(us), bottom, "stroke=\"#eef1ef\"");
    std::string const label = us >= 1e6   ? fmt::format("{:.0f} s", us / 1e6)
                              : us >= 1e3 ? fmt::format("{:.0f} ms", us / 1e3)
                                          : fmt::format("{:.0f} µs", us);
    picture.words(x_of(us), bottom + 18, "text-anchor=\"middle\" fill=\"#66756f\"", label);
  }
}

void draw_heads(SvgPicture& picture, const LatencyReport& report) {
  picture.words(margin, 32, "font-size=\"17\" font-weight=\"700\" fill=\"#1d2a26\"",
                "Latency by stage and core");
  picture.words(
      margin, 52, "fill=\"#66756f\"",
      fmt::format("{} cores, {}; bars by the square root of the count", report.cores.size(),
                  report.from_ms == 0
                      ? span_text(report.taken_at_ms - report.started_at_ms) + " after the start"
                      : "in " + span_text(report.taken_at_ms - report.from_ms)));
  double x = plot_right + 24;
  for (const Percentile& percentile : percentiles) {
    picture.words(x, title_height - 6,
                  fmt::format("font-weight=\"700\" fill=\"{}\"", percentile.colour),
                  percentile.head);
    x += figure_width;
  }
  picture.words(x, title_height - 6, "font-weight=\"700\" fill=\"#1d2a26\"", "max");
}

}  // namespace

std::string latency_svg(const LatencyReport& report) {
  std::vector<const CoreLatency*> shown;
  if (report.cores.size() <= svg_cores_max)
    for (const CoreLatency& core : report.cores) shown.push_back(&core);
  else
    shown.push_back(&report.all);

  size_t const stages = report.all.stages.size();
  double const stage_height = strip_height * static_cast<double>(shown.size()) + stage_gap;
  double const bottom = title_height + stage_height * static_cast<double>(stages);
  SvgPicture picture;
  draw_heads(picture, report);
  draw_axis(picture, title_height, bottom);
  for (size_t i = 0; i < stages; ++i) {
    double base = title_height + stage_height * static_cast<double>(i);
    std::string name = report.all.stages[i].stage;
    std::replace(name.begin(), name.end(), '_', ' ');
    picture.words(margin, base + strip_height - 4,
                  "font-size=\"13\" font-weight=\"700\" fill=\"#1d2a26\"", name);
    for (const CoreLatency* core : shown) {
      base += strip_height;
      draw_strip(picture, *core, core->stages[i], base);
    }
  }
  return picture.finish(width, bottom + axis_height,
                        "Latency histograms of huntd by stage and core");
}

}  // namespace huntd::huntctl
