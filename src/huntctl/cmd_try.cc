// SPDX-License-Identifier: Apache-2.0
// huntctl try: runs a hunt on a real hunt_worker against a pretended ledger. With --key it draws
// what the request with that key draws, so a script author can repeat a run that was seen.
#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/read_text.h"
#include "bundle/bundle.h"
#include "bundle/worker_program.h"
#include "chance/seed.h"
#include "chance/seed_secrets.h"
#include "huntctl/commands.h"
#include "huntctl/deadline.h"
#include "huntctl/hunt_script.h"
#include "huntctl/redis_walk.h"
#include "rehearsal/rehearse.h"
#include "wire/json_value.h"
#include "wire/redis_keys.h"

namespace huntd::huntctl {
namespace {

using Seed = SeedKey::Seed;

struct Options {
  std::string script;  // FILE.lua, or a HUNT of hunts.dir
  std::string hunter_id = "hunter";
  std::string input;
  std::string held;
  std::string gone;
  std::string left;
  std::string state;
  std::string now;
  std::string key;
  std::string seed;
  uint32_t secret_number = 0;  // 0: the newest
};

// "iron=3,wood=1", the value of this option.
Result<std::map<std::string, uint64_t>> read_counts(std::string_view option,
                                                    const std::string& text) {
  std::map<std::string, uint64_t> counts;
  for (const std::string& item : CLI::detail::split(text, ',')) {
    if (item.empty()) continue;
    size_t const equals = item.find('=');
    std::optional<uint64_t> const count =
        equals == std::string::npos ? 1 : read_number<uint64_t>(item.substr(equals + 1));
    std::string const loot_id = item.substr(0, equals);
    if (!count || !is_id(loot_id))
      return usage_error(fmt::format("{}: \"{}\" is not LOOT_ID=COUNT", option, item));
    counts[loot_id] = *count;
  }
  if (counts.size() > limits::held_loot_max)
    return usage_error(fmt::format("{}: at most {} loot_ids", option, limits::held_loot_max));
  return counts;
}

// The secret that the hosts of the ledger share.
Result<std::string> ledger_secret(const Options& options, const Config& config) {
  if (!config.hunts.seed_secret_file.empty())
    return read_seed_secret_file(config.hunts.seed_secret_file);
  PeerCall const waiting("Redis at " + redis_text(config.redis));
  RedisClient redis = redis_client(config);
  if (Result<void> connected = redis.connect(); !connected) return connected.error();
  Result<RedisReply> const reply = redis.execute({"HGETALL", keys::seed_secret});
  if (!reply) return reply.error();
  SeedSecrets secrets;
  for (const auto& [field, value] : pairs_of(**reply))
    if (Result<void> added = secrets.add(field, value); !added) return added.error();
  std::string const secret =
      options.secret_number == 0 ? secrets.newest() : secrets.numbered(options.secret_number);
  if (secret.empty())
    return Error{
        fmt::format("Redis has no {} number {}", keys::seed_secret,
                    options.secret_number == 0 ? "1" : std::to_string(options.secret_number))};
  return secret;
}

Result<Seed> read_seed(const Options& options, const Config& config, const HuntScript& script) {
  Seed seed{};
  if (!options.seed.empty()) {
    const std::string& text = options.seed;
    bool right = text.size() == 32;
    for (size_t half = 0; right && half < 2; ++half) {
      const char* const begin = text.data() + half * 16;
      auto const [end, error] = std::from_chars(begin, begin + 16, seed[half], 16);
      right = error == std::errc() && end == begin + 16;
    }
    if (!right) return usage_error("--seed takes the 32 hex digits that `huntctl try` printed");
    return seed;
  }
  if (options.key.empty()) {
    CHECK(getrandom(seed.data(), sizeof seed, 0) == static_cast<ssize_t>(sizeof seed));
    return seed;
  }
  Result<std::string> const secret = ledger_secret(options, config);
  if (!secret) return secret.error();
  return SeedKey(*secret).seed(options.hunter_id, script.hunt_id, options.key);
}

Result<Rehearsal> plan_of(const Options& options, const Config& config, const HuntScript& script) {
  Rehearsal plan;
  plan.hunt_id = script.hunt_id;
  plan.hunter_id = options.hunter_id;
  plan.memory_bytes = config.worker.memory_bytes;
  plan.deadline_ms = config.worker.deadline_ms;
  if (!is_path_id(plan.hunter_id))
    return usage_error(fmt::format("\"{}\" is not a valid hunter_id", plan.hunter_id));
  Result<Seed> const seed = read_seed(options, config, script);
  if (!seed) return seed.error();
  plan.seed = *seed;
  Result<int64_t> const now_ms =
      options.now.empty() ? Result<int64_t>(wall_ms()) : read_now(options.now);
  if (!now_ms) return now_ms.error();
  plan.now_ms = *now_ms;
  Result<std::map<std::string, uint64_t>> held = read_counts("--held", options.held);
  if (!held) return held.error();
  plan.held = std::move(*held);
  if (!options.state.empty()) {
    Result<PoolString> const value = encode_json_value(options.state);
    if (!value) return usage_error("--state: " + value.error().message);
    bool const is_table = options.state.front() == '{' || options.state.front() == '[';
    if (!is_table || options.state.size() > limits::state_bytes_max)
      return usage_error(fmt::format("--state is a JSON object or array of at most {} bytes",
                                     limits::state_bytes_max));
    plan.state = stored_state(options.state);
  }
  Result<std::map<std::string, uint64_t>> left = read_counts("--left", options.left);
  if (!left) return left.error();
  plan.supply_left = std::move(*left);
  for (const std::string& loot_id : CLI::detail::split(options.gone, ','))
    if (!loot_id.empty()) plan.supply_left.try_emplace(loot_id, 0);
  if (!options.input.empty()) {
    Result<PoolString> const value = encode_json_value(options.input);
    if (!value) return usage_error("--input: " + value.error().message);
    plan.input = *value;
  }
  return plan;
}

std::string seed_text(const Seed& seed) { return fmt::format("{:016x}{:016x}", seed[0], seed[1]); }

std::string as_json(const Rehearsal& plan, Opening opening, const Rehearsed& run) {
  std::string object = "{}";
  add_member(object, "hunt_id", json_string(plan.hunt_id));
  add_member(object, "hunter_id", json_string(plan.hunter_id));
  add_member(object, "end", json_string(run_end_text(run.end)));
  std::string loot;
  std::string taken;
  for (const Rehearsed::Award& award : run.awards)
    if (award.units > 0)
      loot += fmt::format("{}{{\"loot_id\":{},\"limited\":{}{}}}", loot.empty() ? "" : ",",
                          json_string(award.loot_id), award.limited,
                          award.units == 1 ? "" : fmt::format(",\"count\":{}", award.units));
    else
      taken += fmt::format("{}{{\"loot_id\":{},\"count\":{}}}", taken.empty() ? "" : ",",
                           json_string(award.loot_id), -award.units);
  add_member(object, "loot", "[" + loot + "]");
  if (!taken.empty()) add_member(object, "taken", "[" + taken + "]");
  if (run.state) add_member(object, "state", *run.state);
  add_member(object, "result", run.result.empty() ? "null" : run.result);
  add_member(object, "reason", run.reason.empty() ? "null" : json_string(run.reason));
  add_member(object, "log", json_string(run.log));
  add_member(object, "start_us", std::to_string(run.start_us));
  add_member(object, "script_us", std::to_string(run.script_us));
  add_member(object, "deadline_ms", std::to_string(plan.deadline_ms));
  add_member(object, "now_ms", std::to_string(plan.now_ms));
  add_member(object, "seed", json_string(seed_text(plan.seed)));
  add_member(object, "opening", json_string(opening_text(opening)));
  return object;
}

std::string as_text(const Rehearsal& plan, Opening opening, const Rehearsed& run) {
  std::string text =
      fmt::format("{} for {}: {}\n", plan.hunt_id, plan.hunter_id, run_end_text(run.end));
  if (opening != Opening::open)
    text += fmt::format("note     huntd would reject it at this time: {}\n", opening_text(opening));
  if (!run.reason.empty()) text += fmt::format("reason   {}\n", run.reason);
  for (const Rehearsed::Award& award : run.awards)
    text +=
        fmt::format("{}{}{}{}\n", award.units > 0 ? "award    " : "take     ", award.loot_id,
                    std::abs(award.units) == 1 ? "" : fmt::format(" x {}", std::abs(award.units)),
                    award.limited ? "  (limited)" : "");
  if (run.state) text += fmt::format("state    {}\n", *run.state);
  if (!run.result.empty()) text += fmt::format("result   {}\n", run.result);
  std::istringstream lines(run.log);
  for (std::string line; std::getline(lines, line);) text += fmt::format("log      {}\n", line);
  if (run.script_us > 0)
    text += fmt::format("time     {:.1f} ms of {} ms\n", static_cast<double>(run.script_us) / 1000,
                        plan.deadline_ms);
  return text + fmt::format("seed     {}  (--seed repeats the draws)\n", seed_text(plan.seed));
}

int try_hunt(const Options& options, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  Result<HuntScript> const script = read_hunt_script(options.script, *config);
  if (!script) return fail(script.error());
  Result<Rehearsal> plan = plan_of(options, *config, *script);
  if (!plan) return fail(plan.error());
  std::string const worker = find_worker(config->worker.binary);
  Result<Bundle> const bundle = checked_bundle(*script, *config, worker);
  if (!bundle) return fail(bundle.error());
  const RunRules& rules = bundle->find(script->hunt_id)->rules;
  plan->deadline_ms = rules.deadline_on(plan->deadline_ms);
  Opening const opening = opening_of(rules, plan->hunt_id, plan->hunter_id, plan->now_ms);
  Result<Rehearsed> const run = rehearse(*bundle, worker, *plan);
  if (!run) return fail(run.error());
  if (context.json) print_object(as_json(*plan, opening, *run));
  print(as_text(*plan, opening, *run));
  if (run->end == Rehearsed::End::ok) return exit_ok;
  fail(fmt::format("{}: {}: {}", plan->hunt_id, run_end_text(run->end), run->reason));
  return run->end == Rehearsed::End::rejected ? exit_rejected : exit_failure;
}

}  // namespace

void add_try(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command =
      app.add_subcommand("try", "Run a hunt against a pretended ledger; nothing is awarded");
  command->add_option("SCRIPT", options->script, "FILE.lua, or the name of a hunt in hunts.dir")
      ->required();
  command->add_option("HUNTER", options->hunter_id, "The hunter (default: hunter)");
  command->add_option("--input", options->input, "The body of the request, as JSON");
  command->add_option("--held", options->held, "What the hunter holds: LOOT_ID=COUNT,...");
  command->add_option("--gone", options->gone, "Supplies that have no unit left: LOOT_ID,...");
  command->add_option("--left", options->left,
                      "Units left of supplies: LOOT_ID=COUNT,...; it counts if --gone has one too");
  command->add_option("--state", options->state, "What hunt.state() has, as JSON");
  command->add_option("--now", options->now, "The time that hunt.now is");
  auto* const key = command->add_option(
      "--key", options->key,
      "Draw what the request with this Idempotency-Key or request_id draws on this ledger");
  command->add_option("--secret", options->secret_number,
                      "With --key: the number of an earlier secret of the ledger");
  command->add_option("--seed", options->seed, "Draw as the run that printed this seed")
      ->excludes(key);
  set_body(*command, context, options, &try_hunt);
}

}  // namespace huntd::huntctl
