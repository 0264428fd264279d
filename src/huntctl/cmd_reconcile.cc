// huntctl reconcile: do Redis, Kafka and Postgres agree on who got what?
#include <cstdio>
#include <memory>

#include "huntctl/commands.h"
#include "reconcile/reconcile.h"

namespace huntd::huntctl {
namespace {

struct Options {
  ReconcileOptions reconcile;
  bool json = false;
};

int run(const Context& context, const Options& options) {
  Result<Config> config = context.config();
  if (!config) return fail(config.error().message);
  Result<Verdict> verdict = reconcile(*config, options.reconcile);
  if (!verdict) return fail(verdict.error().message);
  bool const has_kafka = !config->kafka.bootstrap.empty();
  std::fputs((options.json ? verdict_json(*verdict, has_kafka) : verdict_text(*verdict, has_kafka))
                 .c_str(),
             stdout);
  bool const well = options.reconcile.wait_s > 0 ? verdict->settled() : verdict->agrees();
  return well ? exit_ok : exit_failure;
}

}  // namespace

void add_reconcile(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "reconcile", "Compare the loot in Redis, the events in Kafka and the rows in Postgres");
  command->add_flag("--json", options->json, "Print one JSON object");
  command
      ->add_option("--wait", options->reconcile.wait_s,
                   "Wait up to SECONDS until nothing is under way; what still is then is not well")
      ->type_name("SECONDS");
  command
      ->add_option("--list", options->reconcile.differences_max, "List at most N differences (50)")
      ->type_name("N");
  command->footer("Exit codes: 0 they agree, 1 something differs or can't be read, 2 wrong usage.");
  command->callback([&context, options] {
    context.run = [&context, options] { return run(context, *options); };
  });
}

}  // namespace huntd::huntctl
