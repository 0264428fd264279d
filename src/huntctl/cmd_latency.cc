// SPDX-License-Identifier: Apache-2.0
// huntctl latency: prints the latency of each stage, per core.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "huntctl/commands.h"
#include "huntctl/http_call.h"
#include "huntctl/interrupt.h"
#include "huntctl/json_response.h"
#include "huntctl/latency_baseline.h"
#include "huntctl/latency_interval.h"
#include "huntctl/latency_report.h"
#include "huntctl/latency_svg.h"
#include "huntctl/latency_text.h"
#include "huntctl/progress.h"

namespace huntd::huntctl {
namespace {

constexpr std::chrono::seconds watch_period{2};
constexpr uint64_t since_s_max = 24 * 3600;
constexpr int64_t progress_every_ms = 100;

struct Options {
  std::string admin;
  std::string svg_path;
  bool watch = false;
  uint64_t since_s = 0;  // 0: since the start of huntd, or since_reset
  bool reset = false;
  bool since_reset = false;
};

int write_svg(const LatencyReport& report, const std::string& path) {
  std::ofstream file(path);
  file << latency_svg(report);
  file.close();
  return file ? exit_ok : fail(fmt::format("cannot write {}", path));
}

// What huntd reports, as it is and as one JSON object.
struct Reported {
  LatencyReport report;
  std::string object;
};

Result<Reported> reported_by(const std::string& address) {
  Result<std::string> const json = get_from_admin_port(address, "/latency.json");
  if (!json) return json.error();
  Result<std::string> object = object_of(*json, "latency.json");
  if (!object) return object.error();
  Result<LatencyReport> report = read_latency_report(*json);
  if (!report) return report.error();
  return Reported{std::move(*report), std::move(*object)};
}

// The same of what has come since the last --reset.
Result<Reported> reported_since_reset(const std::string& address) {
  Result<std::string> const path = latency_baseline_path(address);
  if (!path) return path.error();
  Result<LatencyReport> const before = read_latency_baseline(*path, address);
  if (!before) return before.error();
  Result<Reported> reported = reported_by(address);
  if (!reported) return reported;
  reported->report = latency_between(*before, reported->report);
  reported->object = latency_json(reported->report);
  return reported;
}

// Returns the exit code if the command is at its end.
std::optional<int> show(const Options& options, const std::string& address) {
  Result<Reported> reported =
      options.since_reset ? reported_since_reset(address) : reported_by(address);
  if (!reported) return fail(reported.error());
  const LatencyReport& report = reported->report;
  print_object(std::move(reported->object));
  if (!options.svg_path.empty()) return write_svg(report, options.svg_path);
  // Cursor home and clear, so that the tables stay in place.
  if (options.watch && isatty(STDOUT_FILENO) == 1) print("\x1b[H\x1b[2J");
  print(latency_text(report, wants_colour(STDOUT_FILENO)));
  return options.watch ? flush_output() : exit_ok;
}

// What comes from now on is what --since-reset shows. huntd and its counters stay as they are.
int reset_latency(const std::string& address) {
  Result<std::string> const path = latency_baseline_path(address);
  if (!path) return fail(path.error());
  Result<Reported> const reported = reported_by(address);
  if (!reported) return fail(reported.error());
  if (Result<void> kept = keep_latency_baseline(*path, reported->object); !kept)
    return fail(kept.error());
  std::string object = "{}";
  add_member(object, "from_ms", std::to_string(reported->report.taken_at_ms));
  add_member(object, "file", json_string(*path));
  print_object(std::move(object));
  print(fmt::format("kept in {}; huntctl latency --since-reset shows what comes from now on\n",
                    *path));
  return exit_ok;
}

// Waits for --since, or until Ctrl-C.
void wait_with_progress(Interrupt& interrupt, uint64_t seconds) {
  Progress progress("measuring, s", seconds);
  int64_t const started_ms = monotonic_ms();
  auto const wait_ms = static_cast<int64_t>(seconds) * 1000;
  for (int64_t passed_ms = 0; passed_ms < wait_ms; passed_ms = monotonic_ms() - started_ms) {
    progress.at(static_cast<uint64_t>(passed_ms / 1000));
    if (interrupt.pause(std::min(progress_every_ms, wait_ms - passed_ms))) return;
  }
}

int latency_since(const Options& options, const std::string& address) {
  Interrupt interrupt;
  Result<Reported> const before = reported_by(address);
  if (!before) return fail(before.error());
  wait_with_progress(interrupt, options.since_s);
  Result<Reported> const now = reported_by(address);
  if (!now) return fail(now.error());
  LatencyReport const report = latency_between(before->report, now->report);
  print_object(latency_json(report));
  if (!options.svg_path.empty()) return write_svg(report, options.svg_path);
  print(latency_text(report, wants_colour(STDOUT_FILENO)));
  return exit_ok;
}

int latency(const Options& options, const Context& context) {
  if (context.json && (options.watch || !options.svg_path.empty()))
    return fail_usage("--json prints one object: it excludes --watch and --svg");
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  if (options.reset) return reset_latency(*address);
  if (options.since_s > 0) return latency_since(options, *address);
  for (;;) {
    if (std::optional<int> const exit_code = show(options, *address)) return *exit_code;
    std::this_thread::sleep_for(watch_period);
  }
}

void add_reset_options(CLI::App& command, Options& options) {
  CLI::Option* const reset =
      command.add_flag("--reset", options.reset, "Begin the interval of --since-reset now");
  CLI::Option* const since_reset =
      command.add_flag("--since-reset", options.since_reset,
                       "Print the latency since the last --reset on this host");
  for (const char* const other : {"--watch", "--svg", "--since"}) reset->excludes(other);
  since_reset->excludes(reset)->excludes("--since");
}

}  // namespace

void add_latency(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "latency",
      "Print the latency of each stage per core since the start of huntd, or in an interval");
  add_admin_option(*command, options->admin);
  CLI::Option* const watch =
      command->add_flag("--watch", options->watch, "Repeat every two seconds, until Ctrl-C");
  command->add_option("--svg", options->svg_path, "Draw the histograms into this file")
      ->excludes(watch);
  command
      ->add_option("--since", options->since_s,
                   "Measure from now on for TIME: 60s, 5m (Ctrl-C ends it early, with the result)")
      ->type_name("TIME")
      ->transform(
          CLI::AsNumberWithUnit(std::map<std::string, uint64_t>{{"s", 1}, {"m", 60}, {"h", 3600}},
                                CLI::AsNumberWithUnit::CASE_SENSITIVE))
      ->check(CLI::Range(uint64_t{1}, since_s_max))
      ->excludes(watch);
  add_reset_options(*command, *options);
  set_body(*command, context, options, &latency);
}

}  // namespace huntd::huntctl
