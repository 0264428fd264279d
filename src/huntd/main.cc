// SPDX-License-Identifier: Apache-2.0
// huntd [-c FILE] [-t | --print-config | --version]: parses the options and runs the parent.
#include <getopt.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "base/log.h"
#include "huntd/parent.h"
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
    "SIGHUP reloads scripts, worker limits and secrets. SIGTERM drains.\n"
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

int run(Action action, const std::string& config_path) {
  if (action == Action::print_config) return print_effective_config(config_path);
  if (action == Action::run) huntd::log::never_wait();
  huntd::Result<huntd::server::Prepared> prepared = huntd::server::prepare(config_path);
  if (!prepared) {
    huntd::log::print(prepared.error().message + "\n");
    return huntd::server::exit_config;
  }
  if (action == Action::check) {
    for (const std::string& file : prepared->skipped_files)
      std::fprintf(stderr, "skipped: %s\n", file.c_str());
    std::printf("%s: ok; %zu hunts, bundle %s\n", config_path.c_str(),
                prepared->bundle.hunts().size(), prepared->bundle.name().c_str());
    return EXIT_SUCCESS;
  }
  return huntd::server::run_parent(std::move(*prepared), config_path);
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
