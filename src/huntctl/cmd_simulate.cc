// SPDX-License-Identifier: Apache-2.0
// huntctl simulate: plays many runs of a hunt on real workers against a pretended ledger, and
// reports what they gave. Nothing is awarded (decision 49).
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "bundle/worker_program.h"
#include "huntctl/commands.h"
#include "huntctl/hunt_script.h"
#include "huntctl/interrupt.h"
#include "huntctl/progress.h"
#include "huntctl/simulation_json.h"
#include "huntctl/simulation_svg.h"
#include "huntctl/simulation_text.h"
#include "huntctl/terminal.h"
#include "huntctl/text_table.h"
#include "rehearsal/simulation.h"
#include "wire/json_value.h"

namespace huntd::huntctl {
namespace {

struct Options {
  std::string script;  // FILE.lua, or a HUNT of hunts.dir
  uint64_t hunters = 10'000;
  uint64_t hunts = 20;
  uint64_t every_s = 0;
  uint64_t workers = 0;  // 0: two per CPU
  std::string seed;
  std::string input;
  std::string now;
  std::string svg_path;
  std::string html_path;
  bool no_times = false;
};

Result<SimulationPlan> plan_of(const Options& options, const Config& config,
                               const HuntScript& script) {
  SimulationPlan plan = default_plan(script.hunt_id, config);
  if (!options.seed.empty()) plan.seed = options.seed;
  plan.hunters = options.hunters;
  plan.hunts = options.hunts;
  plan.every_ms = options.every_s * 1000;
  if (options.workers > 0) plan.workers = options.workers;
  if (plan.runs() > simulation::runs_max)
    return usage_error(fmt::format("--hunters times --hunts is {}, more than {} runs", plan.runs(),
                                   simulation::runs_max));
  if (plan.seed.size() > simulation::seed_bytes_max)
    return usage_error(
        fmt::format("--seed: a text of at most {} bytes", simulation::seed_bytes_max));
  Result<int64_t> const now_ms =
      options.now.empty() ? Result<int64_t>(plan.now_ms) : read_now(options.now);
  if (!now_ms) return now_ms.error();
  plan.now_ms = *now_ms;
  if (plan.now_ms > INT64_MAX - static_cast<int64_t>(plan.hunts * plan.every_ms))
    return usage_error("--now is too late for so many hunts");
  if (!options.input.empty()) {
    Result<PoolString> const value = encode_json_value(options.input);
    if (!value) return usage_error("--input: " + value.error().message);
    plan.input = *value;
  }
  return plan;
}

Result<SimulationReport> play(const Options& options, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return config.error();
  Result<HuntScript> const script = read_hunt_script(options.script, *config);
  if (!script) return script.error();
  Result<SimulationPlan> plan = plan_of(options, *config, *script);
  if (!plan) return plan.error();
  std::string const worker = find_worker(config->worker.binary);
  Result<Bundle> const bundle = checked_bundle(*script, *config, worker);
  if (!bundle) return bundle.error();
  const RunRules& rules = bundle->find(script->hunt_id)->rules;
  plan->deadline_ms = rules.deadline_on(plan->deadline_ms);
  plan->memory_bytes = rules.memory_on(plan->memory_bytes);
  Interrupt const interrupt;
  Progress progress("playing", plan->runs());
  Result<Simulated> simulated = simulate(*bundle, worker, *plan, [&](uint64_t runs) {
    progress.at(runs);
    return !interrupt.requested();
  });
  if (!simulated) return simulated.error();
  return SimulationReport{std::move(simulated->figures), std::move(simulated->stopped),
                          options.script, options.input, !options.no_times};
}

bool write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return static_cast<bool>(file);
}

int simulate_hunt(const Options& options, const Context& context) {
  Result<SimulationReport> const report = play(options, context);
  if (!report) return fail(report.error());
  if (context.json) print_object(simulation_json(*report));
  print(simulation_text(*report, draws_in_place()));
  if (!options.svg_path.empty() && !write_file(options.svg_path, simulation_svg(*report)))
    return fail(fmt::format("cannot write {}", options.svg_path));
  if (!options.html_path.empty() && !write_file(options.html_path, simulation_html(*report)))
    return fail(fmt::format("cannot write {}", options.html_path));
  const SimulationFigures& figures = report->figures;
  if (!report->stopped.empty()) return fail("stopped: " + report->stopped);
  if (figures.failures() == 0) return exit_ok;
  return fail(fmt::format("{}: {} of {} failed", figures.plan.hunt_id,
                          counted(figures.failures(), "run"), count_text(figures.runs)));
}

}  // namespace

void add_simulate(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "simulate", "Play many runs of a hunt and report its odds; nothing is awarded");
  command->add_option("SCRIPT", options->script, "FILE.lua, or the name of a hunt in hunts.dir")
      ->required();
  command->add_option("--hunters", options->hunters, "How many hunters play (default: 10000)")
      ->check(CLI::Range(uint64_t{1}, simulation::hunters_max));
  command->add_option("--hunts", options->hunts, "How often each hunter plays (default: 20)")
      ->check(CLI::Range(uint64_t{1}, simulation::hunts_max));
  command
      ->add_option("--every", options->every_s,
                   "Time between two hunts of a hunter: seconds, or 30m, 12h, 1d (default: 0)")
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, uint64_t>{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}},
          CLI::AsNumberWithUnit::CASE_SENSITIVE))
      ->check(CLI::Range(uint64_t{0}, simulation::every_s_max));
  command->add_option("--seed", options->seed, "Draw as the simulation that printed this seed");
  command->add_option("--input", options->input, "The body of each request, as JSON");
  command->add_option("--now", options->now,
                      "The time of the first hunt (default: 12:00 UTC of today)");
  command->add_option("--workers", options->workers, "Workers (default: two per CPU)")
      ->check(CLI::Range(uint64_t{1}, simulation::workers_max));
  command->add_option("--svg", options->svg_path, "Draw the report into FILE");
  command->add_option("--html", options->html_path, "Write the report into FILE as one page");
  command->add_flag("--no-times", options->no_times, "Without what was measured");
  set_body(*command, context, options, &simulate_hunt);
}

}  // namespace huntd::huntctl
