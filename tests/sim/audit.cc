// SPDX-License-Identifier: Apache-2.0
#include "audit.h"

#include <simdjson.h>

#include <algorithm>

#include "wire/loot_event.h"
#include "wire/redis_keys.h"

namespace huntd::server::sim {
namespace {

using Dom = simdjson::dom::element;

std::string text_at(Dom from, const char* name) {
  std::string_view value;
  return from[name].get(value) == simdjson::SUCCESS ? std::string(value) : "";
}

// The result in a response: its body without the request_id, which differs between attempts, and
// without "replayed".
std::string result_part(std::string_view body) {
  size_t const from = body.find("\"loot\":");
  size_t const to = body.rfind(",\"replayed\":");
  if (from == std::string_view::npos || to == std::string_view::npos || to < from) return "";
  return std::string(body.substr(from, to - from));
}

std::string pair_name(std::string_view hunter_id, std::string_view hunt_id) {
  return fmt::format("{}:{}", hunter_id, hunt_id);
}

}  // namespace

Audit::Audit(World& world, RedisStore& store, uint64_t tickets)
    : world_(world), store_(store), tickets_(tickets) {
  store_.on_writes = [this](const std::vector<Words>& writes) { on_writes(writes); };
  store_.on_ranged = [this](const Words& fields) {
    swept_at_ns_.try_emplace(fields.back(), world_.now_ns());
  };
}

Wish& Audit::new_wish(std::string hunt_id, std::string hunter_id, std::string key) {
  wishes_.push_back(std::make_unique<Wish>());
  Wish& wish = *wishes_.back();
  wish.number = wishes_.size();
  wish.hunt_id = std::move(hunt_id);
  wish.hunter_id = std::move(hunter_id);
  wish.key = std::move(key);
  return wish;
}

std::vector<Wish*> Audit::wishes() {
  std::vector<Wish*> all;
  for (auto& wish : wishes_) all.push_back(wish.get());
  return all;
}

// --- the writes of Redis: of one command, or of one whole script ---------------------------------

// Returns false if the writes are not those of a commit.
bool Audit::read_commit(const std::vector<Words>& writes, Committed& commit) {
  std::string record;
  for (const Words& words : writes) {
    if (words[0] == "XADD") {
      Result<LootEvent> event = read_loot_event(words.back());
      if (!event) {
        world_.violation("I3", "an event in the outbox is malformed: " + words.back());
        return false;
      }
      if (words[4] != event->hunter_id) {
        world_.violation("I3", "an event has the record key of another hunter");
        return false;
      }
      commit.events.push_back({event->event_id, event->hunter_id, event->hunt_id, event->loot_id,
                               event->seq, words.back(), world_.now_ns(), 0});
    }
    if (words[0] == "SET" && words[1].starts_with("done:")) {
      commit.record_key = words[1];
      record = words[2];
    }
    if (words[0] == "HINCRBY") commit.counts[words[1] + "/" + words[2]] += std::stoll(words[3]);
    if (words[0] == "HSET" && words.back().starts_with("retaken ")) ++taken_over_;
  }
  bool const undone = std::all_of(commit.counts.begin(), commit.counts.end(),
                                  [](const auto& count) { return count.second == 0; });
  if (record.starts_with("void ")) {
    if (!undone) world_.violation("I1", "loot was awarded in a commit that was rejected");
    if (commit.counts.empty()) ++voided_;
    return false;
  }
  if (record.empty()) {
    if (!commit.events.empty() || !undone)
      world_.violation("I2", "loot was awarded and no response was stored");
    return false;
  }
  // done:{bN}:HUNTER:HUNT:KEY
  std::string const rest = commit.record_key.substr(commit.record_key.find("}:") + 2);
  size_t const first = rest.find(':');
  size_t const second = rest.find(':', first + 1);
  commit.hunter_id = rest.substr(0, first);
  commit.hunt_id = rest.substr(first + 1, second - first - 1);
  commit.key = rest.substr(second + 1);
  return true;
}

// The seed that every core must have given to a worker for this request: it follows from the one
// secret in Redis.
uint64_t Audit::seed_of(const Committed& commit) {
  auto const found = store_.keys().find(std::string(keys::seed_secret));
  if (found == store_.keys().end()) return 0;
  const std::string& secret = std::get<RedisStore::Hash>(found->second.is).at("1");
  if (!seed_key_) {
    seed_secret_ = secret;
    seed_key_.emplace(secret);
  }
  if (secret != seed_secret_)
    world_.violation("I3", "a core has replaced the secret of hunt.random()");
  return seed_key_->seed(commit.hunter_id, commit.hunt_id, commit.key)[0];
}

// I3: a worker sent exactly this outcome, for a request that a client made. Returns null after a
// violation.
Wish* Audit::find_wish(const Committed& commit) {
  std::vector<std::string> loot;
  for (const AwardedEvent& event : commit.events) loot.push_back(event.loot_id);
  const WorkerOutcome* source = nullptr;
  for (const WorkerOutcome& outcome : outcomes_[seed_of(commit)])
    if (outcome.loot == loot && outcome.hunter_id == commit.hunter_id &&
        outcome.hunt_id == commit.hunt_id)
      source = &outcome;
  if (source == nullptr || source->request == 0 || source->request > wishes_.size()) {
    world_.violation("I3",
                     "no worker sent the outcome that was committed for " + commit.record_key);
    return nullptr;
  }
  Wish& wish = *wishes_[source->request - 1];
  if (wish.hunter_id != commit.hunter_id || wish.hunt_id != commit.hunt_id ||
      (!wish.key.empty() && wish.key != commit.key)) {
    world_.violation("I3", "committed for another request than was made: " + commit.record_key);
    return nullptr;
  }
  return &wish;
}

void Audit::add_events(Committed& commit, const Wish& wish) {
  std::vector<std::string>& seqs = by_hunter_[pair_name(commit.hunter_id, commit.hunt_id)];
  for (size_t i = 0; i < commit.events.size(); ++i) {
    AwardedEvent& event = commit.events[i];
    event.request = wish.number;
    if (event.event_id != std::string(make_event_id(commit.hunter_id, commit.hunt_id, commit.key,
                                                    static_cast<uint32_t>(i))))
      world_.violation("I2", "an event_id does not follow from its request: " + event.value);
    if (event.seq != seqs.size() + 1)
      world_.violation("I2", fmt::format("seq {} after {} events", event.seq, seqs.size()));
    if (!events_.emplace(event.event_id, event).second)
      world_.violation("I2", "an event_id was used twice: " + event.value);
    seqs.push_back(event.event_id);
    std::string const held(keys::held(commit.hunter_id, commit.hunt_id));
    --commit.counts[held + "/" + event.loot_id];
    --commit.counts[held + "/" + std::string(keys::seq_field)];
    if (event.loot_id == "ticket" && ++tickets_given_ > tickets_)
      world_.violation("I2",
                       fmt::format("{} tickets of {} were awarded", tickets_given_, tickets_));
    if (event.loot_id.starts_with("crown") &&
        held_now(commit.hunter_id, commit.hunt_id)[event.loot_id] > 1)
      world_.violation("I2",
                       "a second " + event.loot_id + ": its script read loot that was out of date");
  }
}

void Audit::on_writes(const std::vector<Words>& writes) {
  Committed commit;
  if (writes.front()[1].find("{huntd-probe}") != std::string::npos) return;  // of the self-test
  if (!read_commit(writes, commit)) return;
  world_.trace("redis commits {} {} key {}: {} awards", commit.hunter_id, commit.hunt_id,
               commit.key, commit.events.size());
  if (!done_.insert(commit.record_key).second)
    world_.violation("I2", "a request was committed twice: " + commit.record_key);
  Wish* const wish = find_wish(commit);
  if (wish == nullptr) return;
  if (++commits_[wish->number] > 1)
    world_.violation("I2", fmt::format("wish {} was committed twice", wish->number));
  add_events(commit, *wish);
  for (const auto& [field, left] : commit.counts)
    if (left != 0) world_.violation("I1", "held loot and events in the outbox differ: " + field);
}

// --- responses -----------------------------------------------------------------------------------

void Audit::on_core_response(std::string_view bytes) {
  if (!bytes.starts_with("HTTP/1.1 200 ")) return;
  size_t const body_at = bytes.find("\r\n\r\n");
  if (body_at == std::string_view::npos) return;
  simdjson::dom::parser parser;
  Dom body;
  simdjson::padded_string const text(bytes.substr(body_at + 4));
  if (parser.parse(text).get(body) != simdjson::SUCCESS) return;
  if (text_at(body, "request_id").empty()) return;
  simdjson::dom::array loot;
  if (body["loot"].get(loot) != simdjson::SUCCESS) return;
  for (Dom unit : loot) {
    auto const found = events_.find(text_at(unit, "event_id"));
    if (found == events_.end())
      return world_.violation("I4", "200 before the commit: " + std::string(text));
    if (found->second.loot_id != text_at(unit, "loot_id") ||
        found->second.hunter_id != text_at(body, "hunter_id") ||
        found->second.hunt_id != text_at(body, "hunt_id"))
      return world_.violation("I4", "200 with other loot than was awarded: " + std::string(text));
  }
}

// The wish may be repeated with its request_id as the key. The documents say for 60 s; half of it
// leaves time for a core that stops meanwhile.
void Audit::take_key(Wish& wish, std::string_view body) {
  simdjson::dom::parser parser;
  Dom root;
  simdjson::padded_string const text(body);
  if (parser.parse(text).get(root) == simdjson::SUCCESS) wish.key = text_at(root, "request_id");
  if (wish.key.empty())
    world_.violation("I4", "an unknown outcome names no key: " + std::string(body));
  wish.repeat_until_ns = world_.now_ns() + 30 * s;
}

bool Audit::on_client_response(Wish& wish, int status, std::string_view body) {
  ++responses_;
  bool const has_result = status == 200 || status == 422;
  if (!has_result) {
    // All other responses mean that nothing was awarded, except outcome-unknown.
    bool const unknown = body.find("outcome-unknown") != std::string_view::npos;
    if (unknown) wish.any_unknown = true;
    // Without a key its status is one that no tool repeats, and it names a key.
    bool const names_key = unknown && wish.key.empty();
    bool const documented =
        names_key ? status == 424 : status == 500 || status == 503 || status == 504;
    if (names_key && documented) take_key(wish, body);
    if (!documented)
      world_.violation("I4", fmt::format("wish {} has response {} {}", wish.number, status, body));
    return wish.hunt_id == "broken" && status == 500;
  }
  std::string const result = status == 200 ? result_part(body) : std::string(body);
  if (result.empty()) world_.violation("I4", "a malformed response: " + std::string(body));
  if (wish.key.empty()) {
    wish.status = status;
    uint32_t const expected = result.find("event_id") == std::string::npos ? 0 : 1;
    if (commits_[wish.number] != expected)
      world_.violation("I1", fmt::format("wish {} has response 200 and {} commits in Redis",
                                         wish.number, commits_[wish.number]));
    return true;
  }
  if (done_.count(std::string(keys::done(wish.hunter_id, wish.hunt_id, wish.key))) == 0)
    world_.violation("I1", fmt::format("wish {} has response {} and Redis has no record of it",
                                       wish.number, status));
  if (wish.status != 0 && (wish.status != status || wish.body != result))
    world_.violation("I4", fmt::format("wish {}: two results for one key: {} {} and {} {}",
                                       wish.number, wish.status, wish.body, status, result));
  wish.status = status;
  wish.body = result;
  return true;
}

std::map<std::string, uint64_t> Audit::held_now(const std::string& hunter_id,
                                                const std::string& hunt_id) const {
  std::map<std::string, uint64_t> held;
  if (auto found = by_hunter_.find(pair_name(hunter_id, hunt_id)); found != by_hunter_.end())
    for (const std::string& event_id : found->second) ++held[events_.at(event_id).loot_id];
  return held;
}

void Audit::on_held_response(const std::string& hunter_id, const std::string& hunt_id,
                             const std::map<std::string, uint64_t>& at_first,
                             std::string_view body) {
  simdjson::dom::parser parser;
  Dom root;
  simdjson::dom::object loot;
  simdjson::padded_string const text(body);
  if (parser.parse(text).get(root) != simdjson::SUCCESS ||
      root["loot"].get(loot) != simdjson::SUCCESS)
    return world_.violation("I4", "malformed list of held loot: " + std::string(body));
  std::map<std::string, uint64_t> reported;
  for (auto [loot_id, count] : loot) reported[std::string(loot_id)] = uint64_t(count);
  std::map<std::string, uint64_t> at_last = held_now(hunter_id, hunt_id);
  for (const auto& [loot_id, count] : at_first)
    if (reported[loot_id] < count) world_.violation("I4", "GET misses loot: " + std::string(body));
  for (const auto& [loot_id, count] : reported)
    if (count > at_last[loot_id])
      world_.violation("I3", "GET has loot that was not awarded: " + std::string(body));
}

// --- the end of the run --------------------------------------------------------------------------

void Audit::check_redis(bool outbox_is_emptied) {
  for (auto& wish : wishes_) {
    if (wish->open_attempts != 0)
      world_.violation("I7", fmt::format("wish {} is still open", wish->number));
    if (wish->status == 0 && !wish->any_unknown && commits_[wish->number] != 0)
      world_.violation(
          "I4", fmt::format("wish {}: the response says that nothing was awarded, but it was",
                            wish->number));
    if (wish->status == 422 && wish->key.empty() && commits_[wish->number] != 0)
      world_.violation(
          "I4", fmt::format("wish {} was rejected by its script, but committed", wish->number));
  }
  size_t in_outbox = 0;
  std::map<std::string, std::map<std::string, uint64_t>> held;
  std::set<std::string> units;
  for (const auto& [key, value] : store_.keys()) {
    if (key.starts_with("outbox:"))
      in_outbox += std::get<RedisStore::Stream>(value.is).entries.size();
    if (key.starts_with("held:"))
      for (const auto& [field, count] : std::get<RedisStore::Hash>(value.is))
        held[key.substr(key.find("}:") + 2)][field] = std::stoull(count);
    if (key.starts_with("supply_pending:"))
      world_.violation("I7", fmt::format("{} units of {} are still pending",
                                         std::get<RedisStore::SortedSet>(value.is).size(), key));
    if (key.starts_with("supply:"))
      for (const auto& [event_id, state] : std::get<RedisStore::Hash>(value.is)) {
        units.insert(event_id);
        if (state != "given")
          world_.violation("I7",
                           "a unit was neither settled nor released: " + event_id + " " + state);
      }
  }
  for (const auto& [pair, event_ids] : by_hunter_) {
    if (event_ids.empty()) continue;
    std::map<std::string, uint64_t> expected{{"#seq", event_ids.size()}};
    for (const std::string& event_id : event_ids) {
      ++expected[events_.at(event_id).loot_id];
      if (events_.at(event_id).loot_id == "ticket" && units.count(event_id) == 0)
        world_.violation("I2", "a ticket was awarded without a unit: " + event_id);
    }
    if (held[pair] != expected)
      world_.violation("I1", "Redis does not hold the awarded loot: " + pair);
  }
  if (units.size() != tickets_given_)
    world_.violation(
        "I7", fmt::format("{} units are taken for {} tickets", units.size(), tickets_given_));
  size_t const expected = outbox_is_emptied ? 0 : events_.size();
  if (in_outbox != expected)
    world_.violation("I7", fmt::format("{} events in the outbox, not {}", in_outbox, expected));
}

void Audit::check_topic(const Topic& topic) {
  std::set<std::string> seen;
  for (const auto& partition : topic.records) {
    std::map<std::string, std::map<const Machine*, uint64_t>>
        newest;  // by hunter and hunt, producer
    std::map<std::string, uint64_t> newest_of_all;
    for (const TopicRecord& record : partition) {
      Result<LootEvent> event = read_loot_event(record.value);
      auto const found = event ? events_.find(event->event_id) : events_.end();
      if (found == events_.end() || found->second.value != record.value ||
          found->second.hunter_id != record.key) {
        world_.violation("I3", "the topic has an event that was not awarded: " + record.value);
        continue;
      }
      if (!seen.insert(event->event_id).second) ++repeated_;
      // I5: an event that the sweep has found may come late.
      auto const swept = swept_at_ns_.find(record.value);
      if (swept != swept_at_ns_.end() && swept->second <= record.produced_at_ns) continue;
      std::string const pair = pair_name(event->hunter_id, event->hunt_id);
      uint64_t& last = newest[pair][record.producer];
      if (event->seq < last)
        world_.violation("I5", fmt::format("{}: seq {} after {}", pair, event->seq, last));
      last = std::max(last, event->seq);
      uint64_t& last_of_all = newest_of_all[pair];
      if (event->seq < last_of_all) ++out_of_order_;
      last_of_all = std::max(last_of_all, event->seq);
    }
  }
  for (const auto& [event_id, event] : events_)
    if (seen.count(event_id) == 0)
      world_.violation("I1", "an award has no event in Kafka: " + event.value);
}

}  // namespace huntd::server::sim
