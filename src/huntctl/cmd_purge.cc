// SPDX-License-Identifier: Apache-2.0
// huntctl hunt purge: ends a season of a hunt.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/format_text.h"
#include "base/ids.h"
#include "base/json_text.h"
#include "base/limits.h"
#include "huntctl/commands.h"
#include "huntctl/consent.h"
#include "huntctl/hunt_states.h"
#include "huntctl/purge.h"
#include "huntctl/redis_walk.h"
#include "huntctl/session_table.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

constexpr int64_t survey_every_ms = 1000;  // and as long as the survey took

struct Options {
  std::string hunt_id;
  ConsentOptions consent;
  bool rows = false;
  bool incomplete = false;
  uint32_t wait_s = 0;
};

struct Situation {
  HuntState state;
  PurgeSurvey survey;
  std::vector<std::string> reasons;  // to wait

  bool nothing() const { return survey.empty() && !purge_unfinished(state); }
};

std::string json(const Options& options, const Situation& situation, bool done, uint64_t floor) {
  const PurgeSurvey& survey = situation.survey;
  std::string out = R"({"hunt_id":)";
  append_json_string(out, options.hunt_id);
  out += fmt::format(
      R"(,"purged":{},"floor":"{}","hunters":{},"loot":{},"responses":{},"supplies":{},"rows":{},)"
      R"("rows_archived":{},"waiting":[)",
      done, generation_text(floor), survey.hunters, survey.loot, survey.responses, survey.supplies,
      survey.rows, !options.rows);
  for (const std::string& reason : situation.reasons) {
    if (out.back() != '[') out += ',';
    append_json_string(out, reason);
  }
  return out + "]}";
}

std::string plan_text(const Options& options, const Situation& situation) {
  const PurgeSurvey& survey = situation.survey;
  std::string text = fmt::format(
      "huntctl hunt purge {}\n"
      "  Redis: deletes the loot of {} hunters ({} units), {} stored responses, {} supplies\n"
      "  PostgreSQL: {} {} rows of hunt_session ({} units){}\n"
      "  Afterwards every hunter counts from zero in this hunt. It stays closed.\n",
      options.hunt_id, count_text(survey.hunters), sum_text(survey.loot),
      count_text(survey.responses), count_text(survey.supplies),
      options.rows ? "deletes" : "moves to hunt_session_past", count_text(survey.rows),
      sum_text(survey.row_loot),
      options.rows ? ", and the hourly counts of the hunt" : "; the hourly counts stay");
  if (purge_unfinished(situation.state))
    text += "  A purge of this hunt was interrupted: this one finishes it.\n";
  if (survey.expired > 0)
    text +=
        fmt::format("  The rows of {} hunters have expired before (aggregator.retention_days).\n",
                    count_text(survey.expired));
  for (const std::string& reason : situation.reasons)
    text += fmt::format("  It has to wait: {}.\n", reason);
  return text;
}

class Purge {
 public:
  Purge(const Options& options, const Config& config)
      : options_(options),
        settle_ms_(static_cast<int64_t>(limits::hunts_stale_ms + config.http.request_deadline_ms)),
        redis_(redis_client(config)),
        postgres_(config.aggregator.postgres, config.aggregator.schema) {}

  Result<void> connect() {
    if (Result<void> connected = redis_.connect(); !connected) return connected;
    return connect_tables(postgres_);
  }

  Result<Situation> look();
  // Looks again until there is no reason to wait or the time of --wait is over.
  Result<Situation> wait(Situation situation);
  // Returns the floor.
  Result<uint64_t> execute(const Situation& situation);

 private:
  const Options& options_;
  int64_t settle_ms_;
  RedisClient redis_;
  PgLink postgres_;
};

Result<Situation> Purge::look() {
  Result<HuntState> const state = read_hunt_state_of(redis_, options_.hunt_id);
  if (!state) return state.error();
  if (!state->closed)
    return Error{
        fmt::format("{0} is open: close it first, with huntctl hunt close {0}", options_.hunt_id)};
  if (state->floor == 0 && state->closed_at_ms == 0)
    return Error{
        fmt::format("it is not known since when {0} is closed: note it with huntctl hunt close {0}",
                    options_.hunt_id)};
  Progress progress("reading " + options_.hunt_id);
  Result<PurgeSurvey> survey = survey_hunt(redis_, postgres_, options_.hunt_id, progress);
  if (!survey) return survey.error();
  Result<int64_t> const now_ms = redis_time_ms(redis_);
  if (!now_ms) return now_ms.error();
  Situation situation{*state, std::move(*survey), {}};
  situation.reasons =
      reasons_to_wait(situation.survey, situation.state, *now_ms, settle_ms_, options_.incomplete);
  return situation;
}

Result<Situation> Purge::wait(Situation situation) {
  int64_t const until_ms = monotonic_ms() + int64_t{options_.wait_s} * 1000;
  Progress progress("waiting");
  while (!situation.reasons.empty() && monotonic_ms() < until_ms) {
    progress.say(situation.reasons.front());
    int64_t const started_ms = monotonic_ms();
    std::this_thread::sleep_for(std::chrono::milliseconds(survey_every_ms));
    Result<Situation> next = look();
    if (!next) return next;
    situation = std::move(*next);
    // A survey reads everything: at most half of the time.
    int64_t const took_ms = monotonic_ms() - started_ms - survey_every_ms;
    std::this_thread::sleep_for(
        std::chrono::milliseconds(std::clamp<int64_t>(took_ms - survey_every_ms, 0, 60'000)));
  }
  return situation;
}

Result<uint64_t> Purge::execute(const Situation& situation) {
  const HuntState& before = situation.state;
  Result<int64_t> const now_ms = redis_time_ms(redis_);
  if (!now_ms) return now_ms.error();
  uint64_t const newest =
      std::max({situation.survey.newest_generation, situation.survey.floor, before.floor});
  HuntState const marked{.closed = true, .floor = floor_at(*now_ms, newest), .closed_at_ms = 0};
  if (marked.floor > generation_max)
    return Error{"Redis' clock is too far in the future: no generation could follow"};
  if (Result<void> written = write_hunt_state_of(redis_, options_.hunt_id, before, marked);
      !written)
    return written.error();
  if (Result<void> purged = purge_tables(postgres_, options_.hunt_id, marked.floor, options_.rows);
      !purged)
    return purged.error();
  {
    Progress progress("deleting from Redis", situation.survey.hunters + situation.survey.responses);
    Result<uint64_t> const deleted = purge_keys(redis_, options_.hunt_id, marked.floor, progress);
    if (!deleted) return deleted.error();
  }
  HuntState finished = marked;
  finished.closed_at_ms = before.closed_at_ms > 0 ? before.closed_at_ms : *now_ms;
  if (Result<void> written = write_hunt_state_of(redis_, options_.hunt_id, marked, finished);
      !written)
    return written.error();
  return marked.floor;
}

int report(const Options& options, const Situation& situation, bool done, uint64_t floor) {
  print_object(json(options, situation, done, floor));
  if (done) {
    const PurgeSurvey& survey = situation.survey;
    print(fmt::format(
        "{0} is purged: {1} hunters with {2} units, {3} rows {4}\n"
        "Open it for a new season with huntctl hunt open {0}\n",
        options.hunt_id, count_text(survey.hunters), sum_text(survey.loot), count_text(survey.rows),
        options.rows ? "deleted" : "moved to hunt_session_past"));
  } else if (situation.nothing()) {
    print(fmt::format("{}: nothing to purge\n", options.hunt_id));
  }
  return exit_ok;
}

int still_waits(const Options& options, const Situation& situation) {
  print_object(json(options, situation, false, situation.state.floor));
  for (const std::string& reason : situation.reasons) fail(options.hunt_id + ": " + reason);
  return fail(
      "nothing was changed: run the command again later, or with --wait SECONDS; with --incomplete "
      "the archive may lack loot");
}

int run(const Options& options, const Context& context) {
  if (!is_path_id(options.hunt_id))
    return fail_usage(fmt::format("\"{}\" is not a valid hunt_id", options.hunt_id));
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  Purge purge(options, *config);
  if (Result<void> connected = purge.connect(); !connected) return fail(connected.error());
  Result<Situation> situation = purge.look();
  if (!situation) return fail(situation.error());
  uint64_t const floor = situation->state.floor;
  if (situation->nothing()) return report(options, *situation, false, floor);
  bool const waits = !situation->reasons.empty();
  if (waits && options.wait_s == 0 && !options.consent.dry_run)
    return still_waits(options, *situation);
  if (std::optional<int> const code = ask(options.consent, plan_text(options, *situation),
                                          fmt::format("Purge {}?", options.hunt_id))) {
    if (*code != exit_ok) return *code;
    print_object(json(options, *situation, false, floor));
    return waits ? fail(options.hunt_id + " has to wait: " + join_texts(situation->reasons, "; "))
                 : exit_ok;
  }
  situation = purge.wait(std::move(*situation));
  if (!situation) return fail(situation.error());
  if (!situation->reasons.empty()) return still_waits(options, *situation);
  Result<uint64_t> const purged = purge.execute(*situation);
  if (!purged) return fail(purged.error(), "; run the command again, which continues the purge");
  return report(options, *situation, true, *purged);
}

}  // namespace

void add_hunt_purge(CLI::App& hunt, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = hunt.add_subcommand(
      "purge", "End a season of a closed hunt: archive its rows, delete its loot from Redis");
  command->add_option("HUNT", options->hunt_id, "The hunt_id")->required();
  command->add_flag("--rows", options->rows,
                    "Delete the rows and the hourly counts, instead of archiving the rows");
  command->add_flag("--incomplete", options->incomplete,
                    "Do not wait for events that have not reached the table");
  command
      ->add_option("--wait", options->wait_s,
                   "Wait up to SECONDS until all loot of the hunt is in the table")
      ->type_name("SECONDS");
  add_consent_options(*command, options->consent);
  command->footer(
      "Exit codes: 0 purged, or nothing to purge; 1 failed, or loot has not reached the table; 2 "
      "wrong usage; 3 a store cannot be reached. A purge may be interrupted at any moment: run it "
      "again, and it continues.");
  set_body(*command, context, options, &run);
}

}  // namespace huntd::huntctl
