// huntd [-c FILE] [-t | --print-config | --version]: reads the options and hands over to the
// parent.
#include <getopt.h>
#include <liburing.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "huntd/parent.h"
#include "uring/ring.h"

namespace {

constexpr int exit_usage = 2;

constexpr const char* usage =
    "usage: huntd [-c FILE] [-t | --print-config | --version]\n"
    "\n"
    "  -c, --config FILE   the config file (/etc/huntd/huntd.toml)\n"
    "  -t, --check         check the config and compile every script; change nothing\n"
    "      --print-config  the effective values, each with where it came from\n"
    "      --version       version, kernel, and what io_uring offers here\n"
    "  -h, --help          this text\n"
    "\n"
    "SIGHUP reloads scripts and worker limits, SIGTERM drains.\n"
    "Exit: 0 ok, 1 failure, 2 usage, 78 bad config or script.\n";

int print_version() {
  std::printf("huntd %s\n", HUNTD_VERSION);
  huntd::Result<huntd::uring::Features> features = huntd::uring::probe();
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

}  // namespace

int main(int argc, char** argv) {
  std::string config_path = "/etc/huntd/huntd.toml";
  enum class Do { run, check, print_config } what = Do::run;
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
        what = Do::check;
        break;
      case option_print:
        what = Do::print_config;
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
    std::fprintf(stderr, "huntd: what is \"%s\"?\n%s", argv[optind], usage);
    return exit_usage;
  }

  if (what == Do::print_config) {
    huntd::Result<huntd::Config> config = huntd::load_config(config_path);
    if (!config) {
      std::fprintf(stderr, "%s\n", config.error().message.c_str());
      return huntd::exit_config;
    }
    std::fputs(huntd::print_config(*config).c_str(), stdout);
    return EXIT_SUCCESS;
  }
  huntd::Result<huntd::Prepared> prepared = huntd::prepare(config_path);
  if (!prepared) {
    std::fprintf(stderr, "%s\n", prepared.error().message.c_str());
    return huntd::exit_config;
  }
  if (what == Do::check) {
    std::printf("%s: ok; %zu hunts, bundle %s\n", config_path.c_str(),
                prepared->bundle.hunts().size(), prepared->bundle.name().c_str());
    return EXIT_SUCCESS;
  }
  return huntd::run_parent(std::move(*prepared), config_path);
}
