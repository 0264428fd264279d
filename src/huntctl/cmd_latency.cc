// huntctl latency: where the time goes, per core and stage.
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
  return file ? exit_ok : fail(fmt::format("can't write {}", path));
}

int show(const Options& options, const std::string& address) {
  Result<HttpAnswer> const answer = http_get(address, "admin port (--admin)", "/latency.json");
  if (!answer) return fail(answer.error().message);
  if (answer->status != 200)
    return fail(fmt::format("{} answers /latency.json with {}: is it huntd's admin port?", address,
                            answer->status));
  if (options.json) {
    std::fputs(answer->body.c_str(), stdout);
    return exit_ok;
  }
  Result<LatencyReport> const report = read_latency_report(answer->body);
  if (!report) return fail(report.error().message);
  if (!options.svg_path.empty()) return write_svg(*report, options.svg_path);
  bool const terminal = isatty(STDOUT_FILENO) != 0;
  // Up and clear, so that the tables stay in place.
  if (options.watch && terminal) std::fputs("\x1b[H\x1b[2J", stdout);
  std::fputs(latency_text(*report, terminal).c_str(), stdout);
  std::fflush(stdout);
  return exit_ok;
}

int latency(const Options& options, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return fail(config.error().message);
  std::string const address =
      options.admin.empty() ? callable_address(config->admin.listen) : options.admin;
  int exit_code = show(options, address);
  while (options.watch && exit_code == exit_ok) {
    std::this_thread::sleep_for(watch_period);
    exit_code = show(options, address);
  }
  return exit_code;
}

}  // namespace

void add_latency(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command =
      app.add_subcommand("latency", "Latency of each stage, per core, since huntd's start");
  command->add_option("--admin", options->admin,
                      "Admin address, host:port (default: admin.listen)");
  CLI::Option* const watch =
      command->add_flag("--watch", options->watch, "Again every two seconds, until Ctrl-C");
  CLI::Option* const json = command->add_flag("--json", options->json, "As /latency.json gives it");
  command->add_option("--svg", options->svg_path, "Write a picture of the histograms to this file")
      ->excludes(watch)
      ->excludes(json);
  command->callback([options, &context] {
    context.run = [options, &context] { return latency(*options, context); };
  });
}

}  // namespace huntd::huntctl
