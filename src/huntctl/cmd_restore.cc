// SPDX-License-Identifier: Apache-2.0
// huntctl restore: adds to Redis what the tables have counted and Redis has lost.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/ids.h"
#include "base/json_text.h"
#include "huntctl/commands.h"
#include "huntctl/consent.h"
#include "huntctl/redis_walk.h"
#include "huntctl/restore.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

constexpr int64_t walk_every_ms = 1000;

struct Options {
  std::string hunt_id;
  ConsentOptions consent;
  uint32_t wait_s = 0;
};

std::string json(const RestoreCounts& counts, bool done) {
  std::string out = fmt::format(
      R"({{"restored":{},"rows":{},"sessions":{},"loot":{},"supplies":{},"units":{},"floors":{},)"
      R"("later_total":{},"differs_total":{})",
      done, counts.rows, counts.sessions, counts.loot, counts.supplies, counts.units, counts.floors,
      counts.later.count(), counts.differs.count());
  for (const auto& [name, list] :
       {std::pair("later", &counts.later), {"differs", &counts.differs}}) {
    out += fmt::format(R"(,"{}":[)", name);
    for (const std::string& text : list->names()) {
      if (out.back() != '[') out += ',';
      append_json_string(out, text);
    }
    out += ']';
  }
  return out + "}";
}

std::string amounts(const RestoreCounts& counts) {
  return fmt::format("{} units of loot in {} sessions, {} units of {} supplies, {} floors",
                     count_text(counts.loot), count_text(counts.sessions), count_text(counts.units),
                     count_text(counts.supplies), count_text(counts.floors));
}

std::string plan_text(const RestoreCounts& counts) {
  std::string text = fmt::format(
      "huntctl restore\n"
      "  Adds to Redis: {}\n"
      "  (of {} rows; a session is one hunter in one hunt, a floor the end of a purged season)\n",
      amounts(counts), count_text(counts.rows));
  if (!counts.later.empty())
    text += fmt::format("  Not now: {} sessions whose loot is not in the table yet\n",
                        count_text(counts.later.count()));
  if (!counts.differs.empty())
    text += fmt::format("  Not at all: {} sessions that differ in another way\n",
                        count_text(counts.differs.count()));
  return text;
}

// Prints the sessions that were skipped to stderr. Returns the exit code.
int skipped(const RestoreCounts& counts) {
  for (const NameList* list : {&counts.later, &counts.differs}) {
    for (const std::string& text : list->names()) fail("skipped: " + text);
    if (list->count() > list->names().size())
      fail(fmt::format("skipped: and {} more sessions",
                       count_text(list->count() - list->names().size())));
  }
  if (!counts.later.empty())
    fail("run the command again when the table has counted everything, or with --wait SECONDS");
  return counts.later.empty() && counts.differs.empty() ? exit_ok : exit_failure;
}

int report(const RestoreCounts& counts, bool done) {
  print_object(json(counts, done));
  if (counts.nothing())
    print("nothing to restore\n");
  else if (done)
    print(fmt::format("restored: {}\n", amounts(counts)));
  return skipped(counts);
}

// Walks again while there are sessions for which the table is behind, until the time of --wait is
// over. What was restored adds up.
Result<RestoreCounts> apply(Restore& restore, const Options& options, uint64_t rows) {
  int64_t const until_ms = monotonic_ms() + int64_t{options.wait_s} * 1000;
  Progress progress("restoring", rows);
  Result<RestoreCounts> counts = restore.walk(true, progress);
  while (counts && !counts->later.empty() && monotonic_ms() < until_ms) {
    std::this_thread::sleep_for(std::chrono::milliseconds(walk_every_ms));
    Result<RestoreCounts> more = restore.walk(true, progress);
    if (!more) return more;
    more->sessions += counts->sessions;
    more->loot += counts->loot;
    more->supplies += counts->supplies;
    more->units += counts->units;
    more->floors += counts->floors;
    counts = std::move(more);
  }
  return counts;
}

int run(const Options& options, const Context& context) {
  if (!options.hunt_id.empty() && !is_path_id(options.hunt_id))
    return fail_usage(fmt::format("\"{}\" is not a valid hunt_id", options.hunt_id));
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  RedisClient redis = redis_client(*config);
  PgLink postgres(config->aggregator.postgres, config->aggregator.schema);
  if (Result<void> connected = redis.connect(); !connected) return fail(connected.error());
  if (Result<void> connected = connect_tables(postgres); !connected) return fail(connected.error());
  Restore restore(redis, postgres, options.hunt_id);
  Result<uint64_t> const rows = restore.rows();
  if (!rows) return fail(rows.error());
  Result<RestoreCounts> counts = [&] {
    Progress progress("comparing", *rows);
    return restore.walk(false, progress);
  }();
  if (!counts) return fail(counts.error());
  bool const waits = options.wait_s > 0 && !counts->later.empty();
  if (counts->nothing() && !waits) return report(*counts, false);
  if (std::optional<int> const code =
          ask(options.consent, plan_text(*counts), "Restore this into Redis?"))
    return *code == exit_ok ? report(*counts, false) : *code;
  counts = apply(restore, options, *rows);
  if (!counts) return fail(counts.error(), "; run the command again, which restores what is left");
  return report(*counts, true);
}

}  // namespace

void add_restore(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "restore", "Add to Redis the loot that PostgreSQL has counted and Redis has lost");
  command->add_option("--hunt", options->hunt_id, "Only the loot of this hunt")->type_name("HUNT");
  command
      ->add_option("--wait", options->wait_s,
                   "Restore again for up to SECONDS while the table is behind for some hunters")
      ->type_name("SECONDS");
  add_consent_options(*command, options->consent);
  command->footer(
      "Exit codes: 0 restored, or nothing to restore; 1 failed, or a session was skipped; 2 wrong "
      "usage; 3 a store cannot be reached. It may be interrupted at any moment: run it again. huntd "
      "may run meanwhile.");
  set_body(*command, context, options, &run);
}

}  // namespace huntd::huntctl
