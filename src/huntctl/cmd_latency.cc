// SPDX-License-Identifier: Apache-2.0
// huntctl latency: prints the latency of each stage, per core.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <thread>

#include "huntctl/commands.h"
#include "huntctl/http_call.h"
#include "huntctl/latency_report.h"
#include "huntctl/latency_svg.h"
#include "huntctl/latency_text.h"

namespace huntd::huntctl {
namespace {

constexpr std::chrono::seconds watch_period{2};

struct Options {
  std::string admin;
  std::string svg_path;
  bool json = false;
  bool watch = false;
};

int write_svg(const LatencyReport& report, const std::string& path) {
  std::ofstream file(path);
  file << latency_svg(report);
  file.close();
  return file ? exit_ok : fail(fmt::format("cannot write {}", path));
}

int show(const Options& options, const std::string& address) {
  Result<std::string> const json = get_from_admin_port(address, "/latency.json");
  if (!json) return fail(json.error().message);
  if (options.json) {
    std::fputs(json->c_str(), stdout);
    return exit_ok;
  }
  Result<LatencyReport> const report = read_latency_report(*json);
  if (!report) return fail(report.error().message);
  if (!options.svg_path.empty()) return write_svg(*report, options.svg_path);
  bool const terminal = isatty(STDOUT_FILENO) != 0;
  // Cursor home and clear, so that the tables stay in place.
  if (options.watch && terminal) std::fputs("\x1b[H\x1b[2J", stdout);
  std::fputs(latency_text(*report, terminal).c_str(), stdout);
  std::fflush(stdout);
  return exit_ok;
}

int latency(const Options& options, const Context& context) {
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error().message);
  int exit_code = show(options, *address);
  while (options.watch && exit_code == exit_ok) {
    std::this_thread::sleep_for(watch_period);
    exit_code = show(options, *address);
  }
  return exit_code;
}

}  // namespace

void add_latency(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "latency", "Print the latency of each stage per core since the start of huntd");
  add_admin_option(*command, options->admin);
  CLI::Option* const watch =
      command->add_flag("--watch", options->watch, "Repeat every two seconds, until Ctrl-C");
  CLI::Option* const json = command->add_flag("--json", options->json, "Print /latency.json");
  command->add_option("--svg", options->svg_path, "Draw the histograms into this file")
      ->excludes(watch)
      ->excludes(json);
  set_body(*command, context, options, &latency);
}

}  // namespace huntd::huntctl
