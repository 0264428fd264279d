// SPDX-License-Identifier: Apache-2.0
#include "huntctl/simulation_json.h"

#include <fmt/format.h>

#include <utility>

#include "huntctl/output.h"

namespace huntd::huntctl {
namespace {

using Figures = SimulationFigures;

// A list of what `text_of` returns for each item.
template <class Items, class TextOf>
std::string list_of(const Items& items, TextOf text_of) {
  std::string text = "[";
  for (const auto& item : items) {
    if (text.size() > 1) text += ',';
    text += text_of(item);
  }
  return text + "]";
}

std::string share(uint64_t n, uint64_t of) {
  return fmt::format("{:.6g}", of == 0 ? 0 : static_cast<double>(n) / static_cast<double>(of));
}

std::string outcomes(const Figures& figures) {
  std::string object = "{}";
  for (size_t i = 0; i < run_ends; ++i)
    add_member(object, run_end_text(static_cast<RunEnd>(i)), json_number(figures.ends[i]));
  return object;
}

std::string reason(const Figures& figures, const Figures::Reason& reason) {
  const Figures::Example& first = reason.first;
  const SimulationPlan& plan = figures.plan;
  int64_t const now_ms =
      plan.now_ms + static_cast<int64_t>(plan.hunt_of(first.run) * plan.every_ms);
  std::string held = "{}";
  for (auto const& [loot_id, count] : first.held) add_member(held, loot_id, json_number(count));
  std::string example = "{}";
  add_member(example, "hunter_id", json_string(simulated_hunter_id(plan.hunter_of(first.run))));
  add_member(example, "hunt", json_number(plan.hunt_of(first.run) + 1));
  add_member(example, "seed",
             json_string(fmt::format("{:016x}{:016x}", first.seed[0], first.seed[1])));
  add_member(example, "now_ms", std::to_string(now_ms));
  add_member(example, "reason", json_string(first.reason));
  add_member(example, "held", held);
  add_member(example, "gone", list_of(first.gone, json_string));
  if (!first.left.empty()) {
    std::string left = "{}";
    for (auto const& [loot_id, units] : first.left) add_member(left, loot_id, json_number(units));
    add_member(example, "left", left);
  }
  std::string object = "{}";
  add_member(object, "end", json_string(run_end_text(reason.end)));
  add_member(object, "text", reason.text.empty() ? "null" : json_string(reason.text));
  add_member(object, "runs", json_number(reason.runs));
  add_member(object, "first", example);
  return object;
}

std::string loot(const Figures& figures, const Figures::Loot& loot) {
  std::string object = "{}";
  add_member(object, "loot_id", json_string(loot.loot_id));
  add_member(object, "given", json_number(loot.given));
  add_member(object, "runs", json_number(loot.runs));
  add_member(object, "hunters", json_number(loot.hunters));
  add_member(object, "share_of_runs", share(loot.runs, figures.runs));
  add_member(object, "per_hunter", share(loot.given, figures.plan.hunters));
  return object;
}

std::string supply(const Figures& figures, const Figures::Supply& supply) {
  bool const used_up = supply.used_up_after > 0;
  std::string object = "{}";
  add_member(object, "loot_id", json_string(supply.loot_id));
  add_member(object, "limit", json_number(supply.limit));
  add_member(object, "given", json_number(supply.given));
  add_member(object, "gone", json_number(supply.gone));
  add_member(object, "used_up_after_runs", used_up ? json_number(supply.used_up_after) : "null");
  add_member(object, "used_up_after_share",
             used_up ? share(supply.used_up_after, figures.plan.runs()) : "null");
  add_member(object, "given_over_time", list_of(supply.given_over_time, json_number));
  return object;
}

std::string times(const Figures& figures) {
  const Figures::Times& times = figures.times;
  auto const us = [](uint64_t ns) { return fmt::format("{:.1f}", static_cast<double>(ns) / 1e3); };
  std::string script = "{}";
  add_member(script, "p50", us(times.p50_ns));
  add_member(script, "p90", us(times.p90_ns));
  add_member(script, "p99", us(times.p99_ns));
  add_member(script, "max", us(times.max_ns));
  std::string object = "{}";
  add_member(object, "script_us", script);
  add_member(object, "wall_ms", json_number(times.wall_ns / 1'000'000));
  add_member(object, "workers", json_number(figures.plan.workers));
  return object;
}

}  // namespace

std::string simulation_json(const SimulationReport& report) {
  const Figures& figures = report.figures;
  const SimulationPlan& plan = figures.plan;
  std::string set = "{}";
  add_member(set, "loot", json_number(figures.loot.size()));
  add_member(set, "hunters", json_number(figures.full_sets()));
  std::string object = "{}";
  add_member(object, "hunt_id", json_string(plan.hunt_id));
  add_member(object, "seed", json_string(plan.seed));
  add_member(object, "hunters", json_number(plan.hunters));
  add_member(object, "hunts", json_number(plan.hunts));
  add_member(object, "now_ms", std::to_string(plan.now_ms));
  add_member(object, "every_ms", json_number(plan.every_ms));
  add_member(object, "deadline_ms", json_number(plan.deadline_ms));
  add_member(object, "memory_bytes", json_number(plan.memory_bytes));
  add_member(object, "runs", json_number(figures.runs));
  add_member(object, "runs_planned", json_number(plan.runs()));
  add_member(object, "stopped", report.stopped.empty() ? "null" : json_string(report.stopped));
  add_member(object, "outcomes", outcomes(figures));
  add_member(object, "loot", list_of(figures.loot, [&figures](const Figures::Loot& one) {
               return loot(figures, one);
             }));
  add_member(object, "supplies", list_of(figures.supplies, [&figures](const Figures::Supply& one) {
               return supply(figures, one);
             }));
  add_member(object, "hunters_by_different_loot", list_of(figures.hunters_by_loot, json_number));
  add_member(object, "full_set", set);
  add_member(object, "reasons", list_of(figures.reasons, [&figures](const Figures::Reason& one) {
               return reason(figures, one);
             }));
  if (report.times) add_member(object, "times", times(figures));
  return object;
}

}  // namespace huntd::huntctl
