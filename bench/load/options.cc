// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/ids.h"

namespace huntd::load {
namespace {

constexpr int exit_usage = 2;
constexpr uint32_t connections_max = 60'000;  // ports that one address can connect from
constexpr rlim_t other_descriptors = 32;
constexpr double requests_max = 1e10;

void add_options(CLI::App& app, Options& options, std::string& method_path) {
  app.add_option("--target", options.target, "The server: ADDR:PORT")->required();
  app.add_option("--connections", options.connections, "Keep-alive connections")
      ->required()
      ->check(CLI::Range(uint32_t{1}, connections_max));
  CLI::Option* rate =
      app.add_option("--rate", options.rate, "Requests per second of all connections together")
          ->check(CLI::Range(0.001, 1e7));
  app.add_flag("--closed", options.closed,
               "Closed loop: each connection sends as soon as it has its response")
      ->excludes(rate);
  app.add_option("--seconds", options.seconds, "Measured time")
      ->required()
      ->check(CLI::Range(0.1, 86400.0));
  app.add_option("--warmup", options.warmup_s, "Seconds before the measured time (default: 2)")
      ->check(CLI::Range(0.0, 3600.0));
  app.add_option("--hunters", options.hunters,
                 "Hunters; connection i is hunter i mod this (default: one per connection)")
      ->check(CLI::Range(uint32_t{1}, UINT32_MAX));
  CLI::Option* hunt =
      app.add_option("--hunt", options.hunts, "The hunt; several alternate (default: goblin-hoard)")
          ->delimiter(',')
          ->allow_extra_args(false);
  app.add_option(
         "--method-path", method_path,
         "Send this instead of hunts: \"GET /v1/core-map\"; {hunter} is replaced by the hunter")
      ->excludes(hunt);
  app.add_option("--body", options.body, "JSON body of every request");
  app.add_flag("--keys", options.keys, "A unique Idempotency-Key in each request");
  app.add_flag("--repeat-closed", options.repeat_closed,
               "Send a request again that met the close of its connection, as HTTP clients do");
  app.add_option("--connect-rate", options.connect_rate,
                 "Connections opened per second (default: 2000)")
      ->check(CLI::Range(1.0, 1e6));
  app.add_option("--timeout-ms", options.timeout_ms,
                 "How long to wait for the last responses (default: 10000)")
      ->check(CLI::Range(uint64_t{1}, uint64_t{3'600'000}));
  app.add_option(
         "--tick-us", options.tick_us,
         "Open loop: wake up at most this often; 0 is exact and uses more CPU (default: 100)")
      ->check(CLI::Range(uint64_t{0}, uint64_t{10'000}));
  app.add_option("--seed", options.seed,
                 "Determines the hunters and the order of connections (default: 1)");
  app.add_option("--hlog", options.hlog_file, "Write the histograms as an HdrHistogram log");
  app.add_flag("--json", options.json, "Print one JSON object instead of the table");
}

// Checks what CLI11 cannot check. Returns the error; empty if there is none.
std::string find_error(Options& options, const std::string& method_path) {
  if (options.target.find(':') == std::string::npos)
    return fmt::format("--target {}: give ADDR:PORT, such as 127.0.0.1:8080", options.target);
  if (!options.closed && options.rate == 0) return "give --rate R, or --closed for a closed loop";
  if (options.rate * (options.warmup_s + options.seconds) > requests_max)
    return fmt::format("--rate × seconds is above {:g} requests", requests_max);
  if (!method_path.empty()) {
    size_t const space = method_path.find(' ');
    options.method = method_path.substr(0, space);
    if (space != std::string::npos) options.path = method_path.substr(space + 1);
    bool const visible = std::all_of(options.path.begin(), options.path.end(),
                                     [](char c) { return c > 0x20 && c < 0x7f; });
    if (options.method.empty() || !options.path.starts_with('/') || !visible)
      return fmt::format("--method-path {}: give \"METHOD /path\"", method_path);
    if (options.method == "HEAD") return "--method-path: HEAD has no body that could be measured";
  } else if (options.hunts.empty()) {
    options.hunts.emplace_back("goblin-hoard");
  }
  for (const std::string& hunt : options.hunts)
    if (!is_id(hunt)) return fmt::format("--hunt {}: not a valid hunt_id", hunt);
  if (options.hunters == 0) options.hunters = options.connections;

  // 10,000 connections exceed the usual soft limit of a shell.
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  rlim_t const needed = options.connections + other_descriptors;
  if (needed > files.rlim_max)
    return fmt::format("--connections {}: this process may open only {} files (ulimit -Hn)",
                       options.connections, files.rlim_max);
  files.rlim_cur = std::max(files.rlim_cur, needed);
  setrlimit(RLIMIT_NOFILE, &files);
  return {};
}

}  // namespace

Parsed parse_options(int argc, char** argv) {
  CLI::App app(
      "Sends requests to huntd on a fixed schedule, independent of its responses, and measures each "
      "from the time at which it was due (docs/hunt-load.md).",
      "hunt-load");
  app.footer("Exit status: 0 it ran, 1 it could not run, 2 wrong usage.");
  Options options;
  std::string method_path;
  add_options(app, options, method_path);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return {std::nullopt, app.exit(error) == 0 ? 0 : exit_usage};
  }
  if (std::string const wrong = find_error(options, method_path); !wrong.empty()) {
    fmt::print(stderr, "hunt-load: {}\n", wrong);
    return {std::nullopt, exit_usage};
  }
  return {options, 0};
}

}  // namespace huntd::load
