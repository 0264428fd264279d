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
#include "drivers/kafka_properties.h"
#include "drivers/pg_link.h"

namespace {

constexpr int exit_ok = 0;
constexpr int exit_failure = 1;
constexpr int exit_usage = 2;
constexpr int exit_config = 78;  // EX_CONFIG of sysexits.h

volatile std::sig_atomic_t stop_requested = 0;

constexpr const char* usage =
    "usage: hunt-aggregator [-c FILE] [--once] [-t] [--print-config] [--version]\n"
    "       hunt-aggregator [-c FILE] --migrate [--postgres URI]\n"
    "       hunt-aggregator [-c FILE] --print-schema\n"
    "\n"
    "Merges loot events into the PostgreSQL table hunt_session: from Kafka if kafka.bootstrap is set,\n"
    "otherwise from the outbox in Redis.\n"
    "\n"
    "  -c, --config FILE  the configuration (/etc/huntd/huntd.toml)\n"
    "      --once         merge the events that exist now, then exit\n"
    "  -t, --check        check the configuration, change nothing\n"
    "      --print-config print every value and its origin\n"
    "      --migrate      create or upgrade the tables, grant the rights, then exit\n"
    "      --postgres URI the connection for that, instead of aggregator.postgres\n"
    "      --print-schema print what --migrate does, as SQL for psql; without -c, of the defaults\n"
    "      --version      print the version\n"
    "  -h, --help         print this\n"
    "\n"
    "exit: 0 ok, 1 failure, 2 usage, 78 bad configuration\n";

struct Options {
  std::string config = "/etc/huntd/huntd.toml";
  bool once = false;
  bool check = false;
  bool print_config = false;
  bool migrate = false;
  bool print_schema = false;
  bool config_given = false;
  std::string postgres;  // of --postgres
};

struct Parsed {
  Options options;
  int exit_code = -1;  // if 0 or more: exit with it
};

enum LongOption { once = 1000, print_config, migrate, postgres, print_schema, version };

constexpr option long_options[] = {{"config", required_argument, nullptr, 'c'},
                                   {"once", no_argument, nullptr, once},
                                   {"check", no_argument, nullptr, 't'},
                                   {"print-config", no_argument, nullptr, print_config},
                                   {"migrate", no_argument, nullptr, migrate},
                                   {"postgres", required_argument, nullptr, postgres},
                                   {"print-schema", no_argument, nullptr, print_schema},
                                   {"version", no_argument, nullptr, version},
                                   {"help", no_argument, nullptr, 'h'},
                                   {nullptr, 0, nullptr, 0}};

// Returns the exit code if the program ends after this option, else -1.
int apply_option(int choice, Options& options) {
  switch (choice) {
    case 'c':
      options.config = optarg;
      options.config_given = true;
      return -1;
    case once:
      options.once = true;
      return -1;
    case 't':
      options.check = true;
      return -1;
    case print_config:
      options.print_config = true;
      return -1;
    case migrate:
      options.migrate = true;
      return -1;
    case postgres:
      options.postgres = optarg;
      return -1;
    case print_schema:
      options.print_schema = true;
      return -1;
    case version:
      std::printf("hunt-aggregator %s schema %d\n", HUNTD_VERSION,
                  huntd::aggregator::schema_version());
      return exit_ok;
    case 'h':
      std::fputs(usage, stdout);
      return exit_ok;
    default:
      std::fputs(usage, stderr);
      return exit_usage;
  }
}

Parsed parse_options(int argc, char** argv) {
  Parsed parsed;
  for (int choice; (choice = getopt_long(argc, argv, "c:th", long_options, nullptr)) != -1;) {
    parsed.exit_code = apply_option(choice, parsed.options);
    if (parsed.exit_code >= 0) return parsed;
  }
  if (optind < argc) {
    std::fprintf(stderr, "hunt-aggregator: unexpected argument %s\n%s", argv[optind], usage);
    parsed.exit_code = exit_usage;
  } else if (!parsed.options.postgres.empty() && !parsed.options.migrate) {
    std::fprintf(stderr, "hunt-aggregator: --postgres needs --migrate\n%s", usage);
    parsed.exit_code = exit_usage;
  }
  return parsed;
}

huntd::aggregator::SchemaRoles roles_of(const huntd::Config& config) {
  return {config.aggregator.writer_role, config.aggregator.reader_role};
}

int migrate_tables(const huntd::Config& config, const std::string& address) {
  huntd::PgLink link(address, config.aggregator.schema);
  huntd::Result<void> const connected = link.connect();
  huntd::Result<int> const migrated =
      connected ? huntd::aggregator::migrate_and_grant(link, roles_of(config))
                : huntd::Result<int>(connected.error());
  if (!migrated) {
    std::fprintf(stderr, "hunt-aggregator: %s\n", migrated.error().message.c_str());
    return exit_failure;
  }
  std::printf("schema %s: version %d, %d migrations applied\n", link.schema().c_str(),
              huntd::aggregator::schema_version(), *migrated);
  return exit_ok;
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
    auto started = huntd::aggregator::MetricsServer::start(config, metrics);
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
  if (!parsed.options.check && !parsed.options.print_config && !parsed.options.print_schema &&
      !parsed.options.migrate)
    huntd::log::never_wait();
  bool const defaults = parsed.options.print_schema && !parsed.options.config_given;
  huntd::Result<huntd::Config> config = defaults ? huntd::Result<huntd::Config>(huntd::Config())
                                                 : huntd::load_config(parsed.options.config);
  if (!config) {
    huntd::log::print(config.error().message + "\n");
    return exit_config;
  }
  if (parsed.options.print_config) {
    std::fputs(huntd::print_config(*config).c_str(), stdout);
    return exit_ok;
  }
  if (parsed.options.print_schema) {
    std::fputs(
        huntd::aggregator::schema_script(config->aggregator.schema, roles_of(*config)).c_str(),
        stdout);
    return exit_ok;
  }
  if (huntd::Result<void> kafka = huntd::prepare_kafka_properties(*config); !kafka) {
    huntd::log::print(kafka.error().message + "\n");
    return exit_config;
  }
  std::string const& given = parsed.options.postgres;
  std::string const& postgres_address = given.empty() ? config->aggregator.postgres : given;
  huntd::Result<void> address = huntd::check_postgres_address(postgres_address);
  if (!address) {
    huntd::log::print(
        (given.empty() ? parsed.options.config + ": aggregator.postgres" : "--postgres") + ": " +
        address.error().message + "\n");
    return exit_config;
  }
  if (parsed.options.check) {
    std::printf("%s: ok\n", parsed.options.config.c_str());
    return exit_ok;
  }
  if (parsed.options.migrate) return migrate_tables(*config, postgres_address);
  return run(*config, parsed.options.once);
}
