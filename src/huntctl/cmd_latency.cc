// SPDX-License-Identifier: Apache-2.0
// huntctl latency: prints the latency of each stage, per core.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "huntctl/commands.h"
#include "huntctl/http_call.h"
#include "huntctl/json_response.h"
#include "huntctl/latency_report.h"
#include "huntctl/latency_svg.h"
#include "huntctl/latency_text.h"

namespace huntd::huntctl {
namespace {

constexpr std::chrono::seconds watch_period{2};

struct Options {
  std::string admin;
  std::string svg_path;
  bool watch = false;
};

int write_svg(const LatencyReport& report, const std::string& path) {
  std::ofstream file(path);
  file << latency_svg(report);
  file.close();
  return file ? exit_ok : fail(fmt::format("cannot write {}", path));
}

// Returns the exit code if the command is at its end.
std::optional<int> show(const Options& options, const std::string& address) {
  Result<std::string> const json = get_from_admin_port(address, "/latency.json");
  if (!json) return fail(json.error());
  Result<std::string> object = object_of(*json, "latency.json");
  if (!object) return fail(object.error());
  Result<LatencyReport> const report = read_latency_report(*json);
  if (!report) return fail(report.error());
  print_object(std::move(*object));
  if (!options.svg_path.empty()) return write_svg(*report, options.svg_path);
  // Cursor home and clear, so that the tables stay in place.
  if (options.watch && isatty(STDOUT_FILENO) == 1) print("\x1b[H\x1b[2J");
  print(latency_text(*report, wants_colour(STDOUT_FILENO)));
  return options.watch ? flush_output() : exit_ok;
}

int latency(const Options& options, const Context& context) {
  if (context.json && (options.watch || !options.svg_path.empty()))
    return fail_usage("--json prints one object: it excludes --watch and --svg");
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  for (;;) {
    if (std::optional<int> const exit_code = show(options, *address)) return *exit_code;
    std::this_thread::sleep_for(watch_period);
  }
}

}  // namespace

void add_latency(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "latency", "Print the latency of each stage per core since the start of huntd");
  add_admin_option(*command, options->admin);
  CLI::Option* const watch =
      command->add_flag("--watch", options->watch, "Repeat every two seconds, until Ctrl-C");
  command->add_option("--svg", options->svg_path, "Draw the histograms into this file")
      ->excludes(watch);
  set_body(*command, context, options, &latency);
}

}  // namespace huntd::huntctl
