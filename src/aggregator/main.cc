// SPDX-License-Identifier: Apache-2.0
// hunt-aggregator: merges loot events into the table hunt_session. See docs/aggregator.md.
#include <getopt.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "aggregator/aggregator.h"
#include "aggregator/metrics.h"
#include "aggregator/metrics_server.h"
#include "aggregator/postgres/schema.h"
#include "base/log.h"
#include "config/config.h"

namespace {

constexpr int exit_ok = 0;
constexpr int exit_failure = 1;
constexpr int exit_usage = 2;
constexpr int exit_config = 78;  // EX_CONFIG of sysexits.h

volatile std::sig_atomic_t stop_requested = 0;

constexpr const char* usage =
    "usage: hunt-aggregator [-c FILE] [--once] [-t] [--print-config] [--version]\n"
    "\n"
    "Merges loot events into the PostgreSQL table hunt_session: from Kafka if kafka.bootstrap is set,\n"
    "otherwise from the outbox in Redis.\n"
    "\n"
    "  -c, --config FILE  the configuration (/etc/huntd/huntd.toml)\n"
    "      --once         merge the events that exist now, then exit\n"
    "  -t, --check        check the configuration, change nothing\n"
    "      --print-config print every value and its origin\n"
    "      --version      print the version\n"
    "  -h, --help         print this\n"
    "\n"
    "exit: 0 ok, 1 failure, 2 usage, 78 bad configuration\n";

struct Options {
  std::string config = "/etc/huntd/huntd.toml";
  bool once = false;
  bool check = false;
  bool print_config = false;
};

struct Parsed {
  Options options;
  int exit_code = -1;  // if 0 or more: exit with it
};

Parsed parse_options(int argc, char** argv) {
  enum { once = 1000, print_config, version };
  static const option long_options[] = {{"config", required_argument, nullptr, 'c'},
                                        {"once", no_argument, nullptr, once},
                                        {"check", no_argument, nullptr, 't'},
                                        {"print-config", no_argument, nullptr, print_config},
                                        {"version", no_argument, nullptr, version},
                                        {"help", no_argument, nullptr, 'h'},
                                        {nullptr, 0, nullptr, 0}};
  Parsed parsed;
  for (int choice; (choice = getopt_long(argc, argv, "c:th", long_options, nullptr)) != -1;) {
    switch (choice) {
      case 'c':
        parsed.options.config = optarg;
        break;
      case once:
        parsed.options.once = true;
        break;
      case 't':
        parsed.options.check = true;
        break;
      case print_config:
        parsed.options.print_config = true;
        break;
      case version:
        std::printf("hunt-aggregator %s schema %d\n", HUNTD_VERSION,
                    huntd::aggregator::schema_version());
        parsed.exit_code = exit_ok;
        return parsed;
      case 'h':
        std::fputs(usage, stdout);
        parsed.exit_code = exit_ok;
        return parsed;
      default:
        std::fputs(usage, stderr);
        parsed.exit_code = exit_usage;
        return parsed;
    }
  }
  if (optind < argc) {
    std::fprintf(stderr, "hunt-aggregator: unexpected argument %s\n%s", argv[optind], usage);
    parsed.exit_code = exit_usage;
  }
  return parsed;
}

// Blocks (SIG_BLOCK) or unblocks SIGTERM and SIGINT in this thread. Threads that libraries start
// while they are blocked never receive them, so only the main thread does.
void mask_signals(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(how, &set, nullptr);
}

void handle_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { stop_requested = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int run(const huntd::Config& config, bool once) {
  handle_signals();
  mask_signals(SIG_BLOCK);
  huntd::aggregator::Metrics metrics;
  std::unique_ptr<huntd::aggregator::MetricsServer> server;
  if (!once) {
    auto started = huntd::aggregator::MetricsServer::start(config.aggregator.listen, metrics);
    if (!started) {
      huntd::log::error("start failed", {{"error", started.error().message}});
      return exit_failure;
    }
    server = std::move(*started);
  }
  auto aggregator =
      std::make_unique<huntd::aggregator::Aggregator>(config, metrics, stop_requested);
  mask_signals(SIG_UNBLOCK);
  huntd::log::info("aggregator started",
                   {{"source", config.kafka.bootstrap.empty() ? "outbox" : "kafka"},
                    {"interval_s", config.aggregator.interval_s}});
  if (!once) {
    aggregator->run();
  } else if (huntd::Result<void> ended = aggregator->run_once(); !ended) {
    huntd::log::error("aggregator stopped", {{"error", ended.error().message}});
    return exit_failure;
  }
  aggregator.reset();  // leaves the consumer group
  huntd::log::info("aggregator stopped", {{"events", metrics.totals().records},
                                          {"new", metrics.totals().new_events},
                                          {"dead_letters", metrics.totals().dead_letters}});
  return exit_ok;
}

}  // namespace

int main(int argc, char** argv) {
  Parsed const parsed = parse_options(argc, argv);
  if (parsed.exit_code >= 0) return parsed.exit_code;
  if (!parsed.options.check && !parsed.options.print_config) huntd::log::never_wait();
  huntd::Result<huntd::Config> config = huntd::load_config(parsed.options.config);
  if (!config) {
    huntd::log::print(config.error().message + "\n");
    return exit_config;
  }
  if (parsed.options.print_config) {
    std::fputs(huntd::print_config(*config).c_str(), stdout);
    return exit_ok;
  }
  huntd::Result<void> address = huntd::check_postgres_address(config->aggregator.postgres);
  if (!address) {
    huntd::log::print(parsed.options.config + ": aggregator.postgres: " + address.error().message +
                      "\n");
    return exit_config;
  }
  if (parsed.options.check) {
    std::printf("%s: ok\n", parsed.options.config.c_str());
    return exit_ok;
  }
  return run(*config, parsed.options.once);
}
