// SPDX-License-Identifier: Apache-2.0
// huntd [-c FILE] [-t | --print-config | --version]: parses the options and runs the parent.
#include <getopt.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/sd_notify.h"
#include "huntd/parent.h"
#include "huntd/script_report.h"
#include "linux/ring.h"

namespace {

constexpr int exit_usage = 2;

constexpr const char* usage =
    "usage: huntd [-c FILE] [-t | --print-config | --version]\n"
    "\n"
    "  -c, --config FILE   config file (default: /etc/huntd/huntd.toml)\n"
    "  -t, --check         check the config and compile every script; change nothing\n"
    "      --print-config  print the effective values, each with its origin\n"
    "      --version       print the version, the kernel, and which io_uring features it has\n"
    "  -h, --help          print this text\n"
    "\n"
    "SIGHUP (`huntctl reload`) reloads scripts, worker limits and secrets. SIGTERM drains.\n"
    "Exit status: 0 success, 1 failure, 2 wrong usage, 78 invalid config or script.\n";

int print_version() {
  std::printf("huntd %s\n", HUNTD_VERSION);
  huntd::Result<huntd::server::RingFeatures> features = huntd::server::probe_ring();
  if (!features) {
    std::printf("io_uring: %s\n", features.error().message.c_str());
    return EXIT_SUCCESS;
  }
  std::printf("kernel %s\nio_uring:", features->kernel.c_str());
  for (const std::string& name : features->present) std::printf(" %s", name.c_str());
  std::printf("\nabsent:");
  for (const std::string& name : features->absent) std::printf(" %s", name.c_str());
  std::printf("\n");
  return EXIT_SUCCESS;
}

enum class Action { run, check, print_config };

int print_effective_config(const std::string& config_path) {
  huntd::Result<huntd::Config> const config = huntd::load_config(config_path);
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().message.c_str());
    return huntd::server::exit_config;
  }
  std::fputs(huntd::print_config(*config).c_str(), stdout);
  return EXIT_SUCCESS;
}

// Reports the progress of a start to systemd, at most once per second, and asks for time: the check
// has a deadline of its own.
void report_start(const std::string& step, uint64_t& last_ns) {
  constexpr uint64_t every_ns = 1'000'000'000;
  uint64_t const now_ns = huntd::monotonic_ns();
  if (last_ns != 0 && now_ns - last_ns < every_ns) return;
  last_ns = now_ns;
  huntd::systemd::notify("EXTEND_TIMEOUT_USEC=30000000\nSTATUS=start: " + step);
}

// For `huntd -t`.
void report_scripts(const std::string& dir, const std::string& errors) {
  std::string const text = huntd::server::script_report(dir, errors);
  if (!text.empty()) huntd::log::print(text);
}

// What is wrong with the scripts in plain words, if `errors` names scripts.
void explain_scripts(const std::string& config_path, const std::string& errors) {
  huntd::Result<huntd::Config> const config = huntd::load_config(config_path);
  if (config) report_scripts(config->hunts.dir, errors);
}

int run(Action action, const std::string& config_path) {
  if (action == Action::print_config) return print_effective_config(config_path);
  huntd::server::PrepareOptions options;
  huntd::server::InheritedSockets inherited;
  if (action == Action::run) {
    huntd::log::never_wait();
    // First, so that no process that checks the scripts takes them.
    huntd::Result<huntd::server::InheritedSockets> taken = huntd::server::take_inherited_sockets();
    if (!taken) {
      huntd::log::error(taken.error().message);
      return huntd::server::exit_config;
    }
    inherited = std::move(*taken);
    options.may_use_saved = true;
    options.progress = [last_ns = uint64_t{0}](const std::string& step, bool) mutable {
      report_start(step, last_ns);
    };
  }
  huntd::Result<huntd::server::Prepared> prepared = huntd::server::prepare(config_path, options);
  if (!prepared) {
    huntd::log::print(prepared.error().message + "\n");
    if (action == Action::check) explain_scripts(config_path, prepared.error().message);
    return huntd::server::exit_config;
  }
  if (action == Action::check) {
    for (const std::string& file : prepared->skipped_files)
      std::fprintf(stderr, "skipped: %s\n", file.c_str());
    std::printf("%s: ok; %zu hunts, bundle %s\n", config_path.c_str(),
                prepared->bundle.hunts().size(), prepared->bundle.name().c_str());
    report_scripts(prepared->config.hunts.dir, "");
    return EXIT_SUCCESS;
  }
  return huntd::server::run_parent(std::move(*prepared), config_path, std::move(inherited));
}

}  // namespace

int main(int argc, char** argv) {
  std::string config_path = "/etc/huntd/huntd.toml";
  Action action = Action::run;
  enum { option_print = 256, option_version };
  const option options[] = {{"config", required_argument, nullptr, 'c'},
                            {"check", no_argument, nullptr, 't'},
                            {"print-config", no_argument, nullptr, option_print},
                            {"version", no_argument, nullptr, option_version},
                            {"help", no_argument, nullptr, 'h'},
                            {nullptr, 0, nullptr, 0}};
  for (int chosen; (chosen = getopt_long(argc, argv, "c:th", options, nullptr)) != -1;) {
    switch (chosen) {
      case 'c':
        config_path = optarg;
        break;
      case 't':
        action = Action::check;
        break;
      case option_print:
        action = Action::print_config;
        break;
      case option_version:
        return print_version();
      case 'h':
        std::fputs(usage, stdout);
        return EXIT_SUCCESS;
      default:
        std::fputs(usage, stderr);
        return exit_usage;
    }
  }
  if (optind < argc) {
    std::fprintf(stderr, "huntd: unexpected argument \"%s\"\n%s", argv[optind], usage);
    return exit_usage;
  }
  return run(action, config_path);
}
