// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/case_session.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "base/ids.h"
#include "base/json_text.h"
#include "base/limits.h"
#include "base/utc_time.h"
#include "chance/seed.h"
#include "wire/json_value.h"

namespace huntd {
namespace {

using simdjson::dom::element;

// The name of a hunt in its draws: a copy of it under another name draws the same.
constexpr std::string_view drawn_for = "hunt";

std::string json_of(std::string_view text) {
  std::string json;
  append_json_string(json, text);
  return json;
}

std::string problem(std::string_view text) {
  return fmt::format(R"({{"problem":{}}})", json_of(text));
}

template <class Counts>
std::string counts_json(const Counts& counts) {
  std::string json;
  for (const auto& [name, count] : counts)
    json += fmt::format("{}{}:{}", json.empty() ? "" : ",", json_of(name), count);
  return "{" + json + "}";
}

// Reads loot_id -> count. Returns what is wrong with it, or "".
std::string read_counts(const simdjson::dom::object& from,
                        std::map<std::string, uint64_t>& counts) {
  for (auto const& [name, value] : from) {
    uint64_t count = 0;
    if (!is_id(name))
      return fmt::format("\"{}\" is not a loot_id: 1 to 64 of A-Z a-z 0-9 _ . -", name);
    if (value.get(count) != simdjson::SUCCESS)
      return fmt::format("the count of {} is a whole number from 0 on", name);
    counts[std::string(name)] = count;
  }
  return {};
}

bool is_there(const simdjson::dom::object& object, std::string_view name) {
  return object[name].error() == simdjson::SUCCESS;
}

std::string lines_json(std::string_view log) {
  std::string json;
  while (!log.empty()) {
    size_t const end = std::min(log.find('\n'), log.size());
    json += (json.empty() ? "" : ",") + json_of(log.substr(0, end));
    log.remove_prefix(std::min(end + 1, log.size()));
  }
  return "[" + json + "]";
}

// What the run gives (sign 1) or takes (sign -1), by loot_id.
std::map<std::string, int64_t> units_of(const Rehearsed& run, int32_t sign) {
  std::map<std::string, int64_t> units;
  for (const Rehearsed::Award& award : run.awards)
    if (award.units * sign > 0) units[award.loot_id] += int64_t{award.units} * sign;
  return units;
}

std::string run_json(std::string_view ended, const Rehearsed& run, bool replayed) {
  std::string awards;
  for (const Rehearsed::Award& award : run.awards)
    if (award.units > 0) awards += (awards.empty() ? "" : ",") + json_of(award.loot_id);
  return fmt::format(
      R"({{"ended":"{}","awards":[{}],"given":{},"taken":{},"state":{},"result":{},"reason":{},)"
      R"("log":{},"replayed":{}}})",
      ended, awards, counts_json(units_of(run, 1)), counts_json(units_of(run, -1)),
      run.state.value_or("null"), run.result.empty() ? "null" : run.result,
      run.reason.empty() ? "null" : json_of(run.reason), lines_json(run.log), replayed);
}

}  // namespace

Result<std::string> CaseSession::reply(std::string_view request) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  std::string_view text;
  Object part;
  if (parser.parse(request.data(), request.size()).get(object) != simdjson::SUCCESS)
    return problem("huntctl cannot read this request");
  if (object["time"].get(text) == simdjson::SUCCESS) return time_reply(text);
  if (object["held_by"].get(text) == simdjson::SUCCESS) return held_reply(text);
  if (object["given"].get(part) == simdjson::SUCCESS) return given_reply(part);
  if (object["play"].get(part) == simdjson::SUCCESS) return play_reply(part);
  return problem("huntctl does not know this request");
}

std::string CaseSession::time_reply(std::string_view text) {
  std::optional<int64_t> const ms = read_utc_ms(std::string(text));
  if (!ms) return problem(fmt::format("\"{}\" is not a time such as 2026-12-24T18:00+01:00", text));
  return fmt::format(R"({{"ms":{}}})", *ms);
}

std::string CaseSession::held_reply(std::string_view hunter_id) {
  return fmt::format(R"({{"held":{}}})", counts_json(ledger_.held(std::string(hunter_id))));
}

std::string CaseSession::given_reply(const Object& given) {
  std::string_view hunter_id;
  std::string_view seed;
  if (given["hunter"].get(hunter_id) != simdjson::SUCCESS || !is_path_id(hunter_id))
    return problem("a hunter is 1 to 64 of A-Z a-z 0-9 _ . -");
  if (is_there(given, "seed")) {
    if (given["seed"].get(seed) != simdjson::SUCCESS) return problem("seed is a text");
    seed_ = seed;
  }
  Object counts;
  if (is_there(given, "held")) {
    CaseLedger::Held held;
    if (given["held"].get(counts) != simdjson::SUCCESS)
      return problem("held is a table of counts, as in {pearl = 2}");
    if (std::string wrong = read_counts(counts, held); !wrong.empty()) return problem(wrong);
    if (held.size() > limits::held_loot_max)
      return problem(fmt::format("a hunter holds at most {} loot_ids", limits::held_loot_max));
    given_held_[std::string(hunter_id)] = held;
    ledger_.set_held(std::string(hunter_id), std::move(held));
  }
  if (is_there(given, "state")) {
    element state;
    std::string json;
    if (given["state"].get(state) != simdjson::SUCCESS || !(state.is_object() || state.is_array()))
      return problem("state is a table, as in {visits = 2}");
    json = simdjson::minify(state);
    if (json.size() > limits::state_bytes_max)
      return problem(fmt::format("a state has at most {} bytes of JSON", limits::state_bytes_max));
    given_state_[std::string(hunter_id)] = json;
    ledger_.set_state(std::string(hunter_id), json);
  }
  if (is_there(given, "left")) {
    std::map<std::string, uint64_t> left;
    if (given["left"].get(counts) != simdjson::SUCCESS)
      return problem("left is a table of counts, as in {pearl = 2}");
    if (std::string wrong = read_counts(counts, left); !wrong.empty()) return problem(wrong);
    for (const auto& [loot_id, units] : left) ledger_.set_left(loot_id, units);
  }
  return "{}";
}

// Returns what is wrong with the request, or "".
std::string CaseSession::read_play(const Object& play, Request& request) {
  std::string_view text;
  double now_ms = 0;
  if (play["hunter"].get(text) != simdjson::SUCCESS || !is_path_id(text))
    return "a hunter is 1 to 64 of A-Z a-z 0-9 _ . -";
  request.hunter_id = text;
  if (play["now"].get(now_ms) != simdjson::SUCCESS || !(now_ms >= -0x1p53 && now_ms <= 0x1p53))
    return "the time is not one that a hunt can have";
  request.now_ms = static_cast<int64_t>(now_ms);
  if (play["key"].get(text) == simdjson::SUCCESS) {
    if (text.empty() || text.size() > limits::idempotency_key_bytes_max)
      return fmt::format("a key has 1 to {} characters", limits::idempotency_key_bytes_max);
    request.key = text;
  }
  element value;
  for (auto const& [name, count] :
       {std::pair("runs", &request.runs), std::pair("hunters", &request.hunters)}) {
    if (play[name].get(value) != simdjson::SUCCESS) continue;
    request.many = true;
    if (value.get(*count) != simdjson::SUCCESS || *count == 0)
      return fmt::format("{} is a whole number from 1 on", name);
  }
  if (request.hunters > test_limits::hunters_max)
    return fmt::format("at most {} hunters", test_limits::hunters_max);
  if (request.runs > (test_limits::runs_max - runs_) / request.hunters)
    return fmt::format("a case has at most {} runs", test_limits::runs_max);
  if (play["input"].get(value) != simdjson::SUCCESS) return {};
  request.input_json = simdjson::minify(value);
  Result<PoolString> const input = encode_json_value(request.input_json);
  if (!input) return "input: " + input.error().message;
  request.input = *input;
  return {};
}

Result<std::string> CaseSession::play_reply(const Object& play) {
  Request request;
  if (std::string wrong = read_play(play, request); !wrong.empty()) return problem(wrong);
  return request.many ? play_many(request) : play_one(request);
}

Result<CaseSession::Came> CaseSession::play(const Request& request, const std::string& hunter_id) {
  TestedCase::Run run;
  Rehearsal& asked = run.request;
  asked.hunt_id = plan_.hunt_id;
  asked.hunter_id = hunter_id;
  asked.now_ms = request.now_ms;
  asked.memory_bytes = plan_.memory_bytes;
  asked.deadline_ms = plan_.deadline_ms;
  asked.input = request.input;
  run.input_json = request.input_json;
  ledger_.prepare(asked);
  ++runs_;
  if (const CaseLedger::Stored* const stored = ledger_.find(hunter_id, request.key)) {
    bool const same = stored->input == request.input;
    return Came{same ? stored->run : Rehearsed(), same, !same};
  }
  std::string const drawn_by = request.key.empty() ? fmt::format("run-{}", runs_) : request.key;
  asked.seed = SeedKey(seed_).seed(hunter_id, drawn_for, drawn_by);
  Result<Rehearsed> played = player_.play(asked);
  if (!played) return played.error();
  run.outcome = std::move(*played);
  ledger_.commit(asked, request.key, run.outcome);
  Came came{run.outcome, false, false};
  last_run_ = std::move(run);
  return came;
}

Result<std::string> CaseSession::play_one(const Request& request) {
  Result<Came> const came = play(request, request.hunter_id);
  if (!came) return came.error();
  if (came->key_reused) {
    Rehearsed none;
    none.reason = "the key was used before with other input";
    return run_json("key-reused", none, false);
  }
  return run_json(run_end_text(came->run.end), came->run, came->replayed);
}

// The hunters take turns, as in a simulation. What test.given has for the name that they share is
// what each of them holds at first.
Result<std::string> CaseSession::play_many(const Request& request) {
  std::map<std::string, uint64_t> ends;
  std::map<std::string, uint64_t> runs_with;
  std::map<std::string, uint64_t> units;
  uint64_t failed = 0;
  std::string first_failure;
  auto const given = given_held_.find(request.hunter_id);
  for (uint64_t i = 0; i < request.runs * request.hunters; ++i) {
    std::string const hunter_id =
        request.hunters == 1 ? request.hunter_id
                             : fmt::format("{}-{}", request.hunter_id, i % request.hunters + 1);
    if (!is_path_id(hunter_id)) return problem("the name of the hunter is too long");
    if (given != given_held_.end()) ledger_.set_first_held(hunter_id, given->second);
    if (auto const kept = given_state_.find(request.hunter_id); kept != given_state_.end())
      ledger_.set_first_state(hunter_id, kept->second);
    Result<Came> const came = play(request, hunter_id);
    if (!came) return came.error();
    const Rehearsed& run = came->run;
    ++ends[run_end_text(run.end)];
    for (const auto& [loot_id, count] : units_of(run, 1)) {
      ++runs_with[loot_id];
      units[loot_id] += static_cast<uint64_t>(count);
    }
    if (!is_failure(run.end)) continue;
    if (++failed == 1) first_failure = fmt::format("{}: {}", run_end_text(run.end), run.reason);
  }
  return fmt::format(
      R"({{"runs":{},"ends":{},"runs_with":{},"units":{},"failed":{},"first_failure":{}}})",
      request.runs * request.hunters, counts_json(ends), counts_json(runs_with), counts_json(units),
      failed, json_of(first_failure));
}

}  // namespace huntd
