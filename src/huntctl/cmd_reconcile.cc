// SPDX-License-Identifier: Apache-2.0
// huntctl reconcile: checks whether Redis, Kafka and PostgreSQL agree on every award.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>

#include "base/ids.h"
#include "huntctl/commands.h"
#include "huntctl/progress.h"
#include "reconcile/reconcile.h"

namespace huntd::huntctl {
namespace {

struct Options {
  reconcile::ReconcileOptions reconcile;
  std::string memory;
};

// Shows each part of the work by a line of its own.
class ShownProgress {
 public:
  void at(const std::string& what, uint64_t done, uint64_t total) {
    if (!shown_ || what != what_) {
      shown_.emplace(what, total);
      what_ = what;
    }
    shown_->at(done);
  }

 private:
  std::string what_;
  std::optional<Progress> shown_;
};

Result<reconcile::ReconcileOptions> checked(const Options& options) {
  reconcile::ReconcileOptions wanted = options.reconcile;
  if (!options.memory.empty()) {
    std::optional<uint64_t> const bytes = reconcile::read_memory(options.memory);
    if (!bytes)
      return Error{fmt::format("--memory: {} is not a size, such as 512M or 2G", options.memory),
                   ErrorKind::usage};
    wanted.memory_bytes = *bytes;
  }
  if (!wanted.scope.hunter_id.empty() && !is_id(wanted.scope.hunter_id))
    return Error{"--hunter is not a hunter_id: 1 to 64 letters, digits, _, . or -",
                 ErrorKind::usage};
  if (!wanted.scope.hunt_id.empty() && !is_id(wanted.scope.hunt_id))
    return Error{"--hunt is not a hunt_id: 1 to 64 letters, digits, _, . or -", ErrorKind::usage};
  return wanted;
}

Result<reconcile::Report> compare_stores(const Config& config,
                                         reconcile::ReconcileOptions options) {
  ShownProgress progress;  // its line is erased before the report is printed
  options.progress = [&progress](const char* what, uint64_t done, uint64_t total) {
    progress.at(what, done, total);
  };
  return reconcile::reconcile(config, options);
}

int run(const Options& options, const Context& context) {
  Result<reconcile::ReconcileOptions> wanted = checked(options);
  if (!wanted) return fail(wanted.error());
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  Result<reconcile::Report> const report = compare_stores(*config, *wanted);
  if (!report) return fail(report.error());
  bool const has_kafka = !config->kafka.bootstrap.empty();
  print(report_text(*report, has_kafka));
  print_object(report_json(*report, has_kafka));
  if (!report->agrees()) return fail(fmt::format("{} differences", report->differences_total));
  if (wanted->wait_s > 0 && !report->complete())
    return fail(fmt::format(
        "the stores agree, but {} events are still in the outbox after {} s: hunters play, which "
        "needs no --wait, or hunt-aggregator does not keep up (huntctl lag)",
        report->outbox_events, wanted->wait_s));
  return exit_ok;
}

}  // namespace

void add_reconcile(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "reconcile", "Compare the loot in Redis, the events in Kafka and the rows in PostgreSQL");
  command
      ->add_option(
          "--wait", options->reconcile.wait_s,
          "Wait up to SECONDS until every event is in the table; exit 1 if one is not by then")
      ->type_name("SECONDS");
  command
      ->add_option("--list", options->reconcile.differences_max, "List at most N differences (50)")
      ->type_name("N");
  command->add_option("--hunter", options->reconcile.scope.hunter_id, "Compare this hunter only")
      ->type_name("HUNTER");
  command->add_option("--hunt", options->reconcile.scope.hunt_id, "Compare this hunt only")
      ->type_name("HUNT");
  command
      ->add_option("--memory", options->memory,
                   "Use at most SIZE of memory (1G; at least 128M); the rest is on disk, in TMPDIR")
      ->type_name("SIZE");
  // For tests: what a large number of sessions would need is done with a few.
  command->add_option("--groups", options->reconcile.groups_min)->group("");
  command->footer(
      "Exit codes: 0 the stores agree, 1 something differs, 2 wrong usage, 3 a store or the "
      "temporary file cannot be reached.");
  set_body(*command, context, options, &run);
}

}  // namespace huntd::huntctl
