// SPDX-License-Identifier: Apache-2.0
// huntctl forget: deletes everything of one hunter.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/ids.h"
#include "base/json_text.h"
#include "huntctl/commands.h"
#include "huntctl/consent.h"
#include "huntctl/forget.h"
#include "huntctl/hunt_states.h"
#include "huntctl/progress.h"
#include "huntctl/redis_walk.h"
#include "huntctl/session_table.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

constexpr int64_t look_every_ms = 500;
// A floor that is ahead of Redis' clock by less is waited for.
constexpr int64_t ahead_max_ms = 5000;

struct Options {
  std::string hunter_id;
  ConsentOptions consent;
  uint32_t wait_s = 60;
};

// What no command of ours deletes.
std::vector<std::string> what_stays(const Config& config) {
  std::vector<std::string> stays;
  if (!config.kafka.bootstrap.empty())
    stays.push_back(fmt::format(
        "the events in Kafka, topics {} and {}, until the topics' retention deletes them; they are "
        "not counted again",
        config.kafka.topic, config.kafka.dead_topic));
  stays.push_back("lines of logs that name the hunter, and backups of Redis and PostgreSQL");
  stays.push_back("totals that name no hunter: hunt_loot_hour, hunt_supply, metrics");
  stays.push_back("the SHA-256 of the hunter_id in hunter_floor, by which old events are dropped");
  return stays;
}

std::string json(const Options& options, const HunterSurvey& survey, bool done, uint64_t floor,
                 const std::vector<std::string>& reasons, const Config& config) {
  std::string out = R"({"hunter_id":)";
  append_json_string(out, options.hunter_id);
  out += fmt::format(
      R"(,"deleted":{},"floor":"{}","hunts":{},"loot":{},"responses":{},"rows":{},"past_rows":{},)"
      R"("waiting_events":{},"dead_letters":{})",
      done, generation_text(floor), survey.hunts, survey.loot, survey.responses, survey.rows,
      survey.past_rows, survey.waiting_events, survey.dead_letters);
  for (const auto& [name, texts] : {std::pair("waiting", reasons), {"stays", what_stays(config)}}) {
    out += fmt::format(R"(,"{}":[)", name);
    for (const std::string& text : texts) {
      if (out.back() != '[') out += ',';
      append_json_string(out, text);
    }
    out += ']';
  }
  return out + "}";
}

std::string stays_text(const Config& config) {
  std::string text = "  What stays:\n";
  for (const std::string& line : what_stays(config)) text += fmt::format("  - {}\n", line);
  return text;
}

std::string plan_text(const Options& options, const HunterSurvey& survey, const Config& config,
                      int64_t ahead_ms) {
  std::string text = fmt::format(
      "huntctl forget {}\n"
      "  Redis: deletes the loot in {} hunts ({} units), {} stored responses\n"
      "  PostgreSQL: deletes {} rows, {} rows of purged seasons, {} waiting events, {} dead "
      "letters\n"
      "  Afterwards the hunter counts from zero in every hunt.\n",
      options.hunter_id, count_text(survey.hunts), count_text(survey.loot),
      count_text(survey.responses), count_text(survey.rows), count_text(survey.past_rows),
      count_text(survey.waiting_events), count_text(survey.dead_letters));
  text += stays_text(config);
  for (const std::string& reason : reasons_to_wait(survey))
    text += fmt::format("  It has to wait: {}.\n", reason);
  if (ahead_ms > 0)
    text += fmt::format(
        "  Redis' clock is {} behind the hunter's newest loot: what the hunter gets until then is "
        "not counted in the table. Set the clock first.\n",
        span_text(ahead_ms + 999));
  return text;
}

class Forget {
 public:
  Forget(const Options& options, const Config& config)
      : options_(options),
        redis_(redis_client(config)),
        postgres_(config.aggregator.postgres, config.aggregator.schema) {}

  Result<void> connect() {
    if (Result<void> connected = redis_.connect(); !connected) return connected;
    return connect_tables(postgres_);
  }
  Result<HunterSurvey> look() { return survey_hunter(redis_, postgres_, options_.hunter_id); }
  // Looks again until nothing is under way or the time of --wait is over.
  Result<HunterSurvey> wait(HunterSurvey survey);
  // How far Redis' clock is behind the start of a generation; at most 0 if it is not.
  Result<int64_t> clock_behind(uint64_t generation);
  // Returns the floor.
  Result<uint64_t> execute(const HunterSurvey& survey);

 private:
  const Options& options_;
  RedisClient redis_;
  PgLink postgres_;
};

Result<HunterSurvey> Forget::wait(HunterSurvey survey) {
  int64_t const until_ms = monotonic_ms() + int64_t{options_.wait_s} * 1000;
  Progress progress("waiting");
  for (;;) {
    std::vector<std::string> const reasons = reasons_to_wait(survey);
    if (reasons.empty() || monotonic_ms() >= until_ms) return survey;
    progress.say(reasons.front());
    std::this_thread::sleep_for(std::chrono::milliseconds(look_every_ms));
    Result<HunterSurvey> next = look();
    if (!next) return next;
    survey = *next;
  }
}

Result<int64_t> Forget::clock_behind(uint64_t generation) {
  Result<int64_t> const now_ms = redis_time_ms(redis_);
  if (!now_ms) return now_ms;
  return generation_ms(generation) + 1 - *now_ms;
}

Result<uint64_t> Forget::execute(const HunterSurvey& survey) {
  Result<int64_t> const behind_ms = clock_behind(survey.newest_generation);
  if (!behind_ms) return behind_ms.error();
  // A generation that begins after the floor must be above it.
  if (*behind_ms > 0 && *behind_ms <= ahead_max_ms)
    std::this_thread::sleep_for(std::chrono::milliseconds(*behind_ms));
  Result<int64_t> const now_ms = redis_time_ms(redis_);
  if (!now_ms) return now_ms.error();
  Result<uint64_t> const floor =
      delete_rows_of_hunter(postgres_, options_.hunter_id,
                            std::min(floor_at(*now_ms, survey.newest_generation), generation_max));
  if (!floor) return floor;
  if (Result<uint64_t> deleted = delete_keys_of_hunter(redis_, options_.hunter_id, *floor);
      !deleted)
    return deleted;
  return floor;
}

int run(const Options& options, const Context& context) {
  if (!is_path_id(options.hunter_id))
    return fail_usage(fmt::format("\"{}\" is not a valid hunter_id", options.hunter_id));
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  Forget forget(options, *config);
  if (Result<void> connected = forget.connect(); !connected) return fail(connected.error());
  Result<HunterSurvey> survey = forget.look();
  if (!survey) return fail(survey.error());
  auto const report = [&](bool done, uint64_t floor) {
    print_object(json(options, *survey, done, floor, reasons_to_wait(*survey), *config));
  };
  if (survey->empty()) {
    report(false, 0);
    print(fmt::format("{}: nothing to delete\n", options.hunter_id));
    return exit_ok;
  }
  Result<int64_t> const behind_ms = forget.clock_behind(survey->newest_generation);
  if (!behind_ms) return fail(behind_ms.error());
  int64_t const ahead_ms = *behind_ms > ahead_max_ms ? *behind_ms : 0;
  if (std::optional<int> const code =
          ask(options.consent, plan_text(options, *survey, *config, ahead_ms),
              fmt::format("Delete everything of {}?", options.hunter_id))) {
    if (*code == exit_ok) report(false, 0);
    return *code;
  }
  survey = forget.wait(*survey);
  if (!survey) return fail(survey.error());
  if (std::vector<std::string> const reasons = reasons_to_wait(*survey); !reasons.empty()) {
    report(false, 0);
    for (const std::string& reason : reasons) fail(options.hunter_id + ": " + reason);
    return fail("nothing was changed: run the command again later, or with a longer --wait");
  }
  Result<uint64_t> const floor = forget.execute(*survey);
  if (!floor) return fail(floor.error(), "; run the command again, which deletes what is left");
  report(true, *floor);
  print(fmt::format("{} is forgotten: {} hunts in Redis, {} rows\n{}", options.hunter_id,
                    count_text(survey->hunts), count_text(survey->rows + survey->past_rows),
                    stays_text(*config)));
  return exit_ok;
}

}  // namespace

void add_forget(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command =
      app.add_subcommand("forget", "Delete everything of one hunter from Redis and PostgreSQL");
  command->add_option("HUNTER", options->hunter_id, "The hunter_id")->required();
  command
      ->add_option("--wait", options->wait_s,
                   "Wait up to SECONDS until the hunter's events are delivered (60)")
      ->type_name("SECONDS");
  add_consent_options(*command, options->consent);
  command->footer(
      "Exit codes: 0 deleted, or nothing to delete; 1 failed, or events wait; 2 wrong usage; 3 a "
      "store cannot be reached. It may be interrupted at any moment: run it again. The hunter must "
      "not play meanwhile.");
  set_body(*command, context, options, &run);
}

}  // namespace huntd::huntctl
