// SPDX-License-Identifier: Apache-2.0
// huntctl reconcile: checks whether Redis, Kafka and PostgreSQL agree on every award.
#include <cstdio>
#include <memory>

#include "huntctl/commands.h"
#include "reconcile/reconcile.h"

namespace huntd::huntctl {
namespace {

struct Options {
  reconcile::ReconcileOptions reconcile;
  bool json = false;
};

int run(const Options& options, const Context& context) {
  Result<Config> config = context.config();
  if (!config) return fail(config.error().message);
  Result<reconcile::Report> report = reconcile::reconcile(*config, options.reconcile);
  if (!report) return fail(report.error().message);
  bool const has_kafka = !config->kafka.bootstrap.empty();
  std::fputs(
      (options.json ? report_json(*report, has_kafka) : report_text(*report, has_kafka)).c_str(),
      stdout);
  bool const well = options.reconcile.wait_s > 0 ? report->complete() : report->agrees();
  return well ? exit_ok : exit_failure;
}

}  // namespace

void add_reconcile(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "reconcile", "Compare the loot in Redis, the events in Kafka and the rows in PostgreSQL");
  command->add_flag("--json", options->json, "Print one JSON object");
  command
      ->add_option(
          "--wait", options->reconcile.wait_s,
          "Wait up to SECONDS until every event is in the table; exit 1 if one is not by then")
      ->type_name("SECONDS");
  command
      ->add_option("--list", options->reconcile.differences_max, "List at most N differences (50)")
      ->type_name("N");
  command->footer(
      "Exit codes: 0 the stores agree, 1 something differs or cannot be read, 2 wrong usage.");
  set_body(*command, context, options, &run);
}

}  // namespace huntd::huntctl
