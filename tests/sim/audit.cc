// SPDX-License-Identifier: Apache-2.0
#include "audit.h"

#include <simdjson.h>

#include <algorithm>

#include "base/hash.h"
#include "base/limits.h"
#include "core/ledger/ledger.h"
#include "wire/generation.h"
#include "wire/loot_event.h"
#include "wire/redis_keys.h"

namespace huntd::server::sim {
namespace {

using Dom = simdjson::dom::element;

// A hunt is closed for every core so long after it was closed: the age of a core's copy of `hunts`,
// the request's deadline, a reply of Redis that is late, and a second.
constexpr uint64_t closed_after_ns =
    limits::hunts_stale_ms * ms + 2 * s + limits::redis_silence_max_ns + 1 * s;
// The former primary has lost its cores so long after it has ended: until then a GET may read it.
constexpr uint64_t former_read_ns = limits::redis_check_ns + limits::redis_silence_max_ns + 2 * s;
// How long after a hunt was opened a response may name it closed: stops of its core, and delays of
// the network.
constexpr uint64_t open_after_ns = 60 * s;

std::string text_at(Dom from, const char* name) {
  std::string_view value;
  return from[name].get(value) == simdjson::SUCCESS ? std::string(value) : "";
}

// A member of a JSON object, empty if the text is not one, or has no such text.
std::string member_of(std::string_view json, const char* name) {
  simdjson::dom::parser parser;
  Dom root;
  simdjson::padded_string const text(json);
  return parser.parse(text).get(root) == simdjson::SUCCESS ? text_at(root, name) : "";
}

// The result in a response: its body without "replayed", or the body of a problem.
std::string result_part(int status, std::string_view body) {
  if (status != 200) return std::string(body);
  size_t const from = body.find("\"loot\":");
  size_t const to = body.rfind(",\"replayed\":");
  if (from == std::string_view::npos || to == std::string_view::npos || to < from) return "";
  return std::string(body.substr(from, to - from));
}

// Of a hunt, as this Redis knows it.
uint64_t floor_in(const RedisStore& store, const std::string& hunt_id) {
  auto const hash = store.keys().find(std::string(keys::hunts));
  if (hash == store.keys().end()) return 0;
  const auto& states = std::get<RedisStore::Hash>(hash->second.is);
  auto const state = states.find(hunt_id);
  if (state == states.end()) return 0;
  return read_hunt_state(state->second).value_or(HuntState()).floor;
}

// "v2 HASH STATUS BUNDLE BODY"
CommittedRequest read_stored(const std::string& record) {
  size_t const status_at = record.find(' ', record.find(' ') + 1) + 1;
  size_t const body_at = record.find(' ', record.find(' ', status_at) + 1) + 1;
  std::string const body = record.substr(body_at);
  int const status = std::atoi(record.c_str() + status_at);
  return {member_of(body, "request_id"), status, result_part(status, body)};
}

}  // namespace

void Audit::watch(RedisStore& store, const RedisStore* of) {
  StoreModel& model = models_[&store];
  if (of == nullptr) primary_ = &store;
  if (of != nullptr) model = models_[of];
  model.lossy = of != nullptr;
  store.on_writes = [this, &store](const std::vector<Words>& writes) { on_writes(store, writes); };
  store.on_gone = [this, &store](const std::string& key) { on_gone(store, key); };
  store.on_ranged = [this](const Words& fields) {
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

// --- losses, and the hash `hunts` ----------------------------------------------------------------

void Audit::on_primary(RedisStore& store, uint64_t former_ns) {
  primary_ = &store;
  ++losses_;
  former_until_ns_ = world_.now_ns() + former_ns + former_read_ns;
  for (auto& [hunt_id, times] : hunts_) on_hunt_opened(hunt_id);
}

void Audit::on_gone(const RedisStore& store, const std::string& key) {
  const RedisStore::Value& value = store.keys().at(key);
  StoreModel& model = models_[&store];
  if (store.has_expired(value)) return model.expire(key);
  ++losses_;
  bool const of_hunt = key.find('{') != std::string::npos && !key.starts_with("outbox:");
  if (of_hunt && hunts_[hunt_of(key)].purging) return model.purge(key);
  model.lose(key, value);
  if (key == keys::hunts)
    for (auto& [hunt_id, times] : hunts_) on_hunt_opened(hunt_id);
}

void Audit::on_hunt_closed(const std::string& hunt_id) {
  hunts_[hunt_id].closed_at_ns = world_.now_ns();
}

void Audit::on_hunt_purged(const std::string& hunt_id, uint64_t floor) {
  hunts_[hunt_id].floor = std::max(hunts_[hunt_id].floor, floor);
  hunts_[hunt_id].purged_at_ns = world_.now_ns();
  hunts_[hunt_id].purging = true;
}

void Audit::on_hunt_opened(const std::string& hunt_id) {
  HuntTimes& times = hunts_[hunt_id];
  times.purging = false;
  if (std::exchange(times.closed_at_ns, never_ns) != never_ns) times.opened_at_ns = world_.now_ns();
}

// --- the writes of Redis: of one command, or of one whole script ---------------------------------

// Cores that have not lost a secret all have the same.
void Audit::note_secrets(const std::vector<Words>& writes) {
  for (const Words& words : writes) {
    if (words[0] != "HSETNX" || words[1] != keys::seed_secret) continue;
    for (const auto& [store, model] : models_) {
      auto const found = store->keys().find(words[1]);
      if (found == store->keys().end()) continue;
      const std::string& secret = std::get<RedisStore::Hash>(found->second.is).at(words[2]);
      secrets_.try_emplace(secret, secret);
    }
  }
  if (secrets_.size() > 1 && losses_ == 0)
    world_.violation("I3", "a core has replaced the secret of hunt.random()");
}

bool Audit::read_event(const Words& words, Commit& commit) {
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
                           event->generation, event->seq, event->from_supply, event->units,
                           words.back(), world_.now_ns(), 0});
  return true;
}

// Returns false if the writes are not those of a commit.
bool Audit::read_commit(const std::vector<Words>& writes, Commit& commit) {
  std::string record;
  for (const Words& words : writes) {
    if (words[0] == "XADD" && !read_event(words, commit)) return false;
    if (words[0] == "HSET" && words[2] == keys::state_field) commit.state = words[3];
    if (words[0] != "SET" || !words[1].starts_with("done:")) continue;
    commit.record_key = words[1];
    record = words[2];
  }
  if (record.empty() || record.starts_with("void ")) return false;
  // done:{bN}:HUNTER:HUNT:KEY
  std::string const rest = commit.record_key.substr(commit.record_key.find("}:") + 2);
  size_t const first = rest.find(':');
  size_t const second = rest.find(':', first + 1);
  commit.hunter_id = rest.substr(0, first);
  commit.hunt_id = rest.substr(first + 1, second - first - 1);
  commit.key = rest.substr(second + 1);
  commit.request = read_stored(record);
  return true;
}

// The outcome that a worker has sent for this request. The seed of its job follows from a secret in
// Redis, so that every core gives the same.
const WorkerOutcome* Audit::find_outcome(const Commit& commit) {
  std::vector<std::string> loot;
  std::vector<int32_t> units;
  for (const AwardedEvent& event : commit.events) {
    loot.push_back(event.loot_id);
    units.push_back(event.units);
  }
  // After its version.
  std::string const state = commit.state.substr(commit.state.find(' ') + 1);
  const WorkerOutcome* source = nullptr;
  for (const auto& [secret, seed_key] : secrets_) {
    uint64_t const seed = seed_key.seed(commit.hunter_id, commit.hunt_id, commit.key)[0];
    for (const WorkerOutcome& outcome : outcomes_[seed])
      if (outcome.loot == loot && outcome.units == units && outcome.state == state &&
          outcome.hunter_id == commit.hunter_id && outcome.hunt_id == commit.hunt_id)
        source = &outcome;
  }
  return source;
}

// I3: a worker sent exactly this outcome, for a request that a client made. Returns null after a
// violation.
Wish* Audit::find_wish(const Commit& commit) {
  const WorkerOutcome* const source = find_outcome(commit);
  if (source == nullptr || source->request == 0 || source->request > wishes_.size()) {
    world_.violation("I3",
                     "no worker sent the outcome that was committed for " + commit.record_key);
    return nullptr;
  }
  Wish& wish = *wishes_[source->request - 1];
  bool const keyless = commit.key == commit.request.request_id;
  if (wish.hunter_id != commit.hunter_id || wish.hunt_id != commit.hunt_id ||
      (!wish.key.empty() && wish.key != commit.key && !keyless)) {
    world_.violation("I3", "committed for another request than was made: " + commit.record_key);
    return nullptr;
  }
  return &wish;
}

// The generation in the hash after a commit with an award: of this server's lineage, and the
// former one unless there is a reason for a new one.
void Audit::check_generation(const RedisStore& store, const std::string& key, HeldModel& held) {
  const auto& hash = std::get<RedisStore::Hash>(store.keys().at(key).is);
  auto const field = hash.find(std::string(keys::gen_field));
  std::optional<HeldGeneration> const read =
      field == hash.end() ? std::nullopt : read_held_generation(field->second);
  if (!read) return world_.violation("I8", "no generation in " + key);
  std::string lineage = field->second.substr(field->second.find(' ') + 1);
  std::string const server = store.run_id() + store.replication_id();
  if (lineages_.try_emplace(lineage, server).first->second != server)
    world_.violation("I8", "a commit has the lineage of another server: " + key);
  if (read->generation == held.generation && lineage == held.lineage) return;
  bool const purged = held.generation <= hunts_[hunt_of(key)].floor;
  if (read->generation <= held.generation || (lineage == held.lineage && !purged))
    world_.violation("I8", fmt::format("generation {} after {} {} in {}", field->second,
                                       generation_text(held.generation), held.lineage, key));
  if (held.generation != 0) ++generations_;
  held.begin(read->generation, std::move(lineage));
}

// An attempt runs its script again after a conflict.
bool Audit::follows_from(const Commit& commit, const std::string& event_id, uint32_t position) {
  for (uint32_t run = 0; run < 2; ++run)
    if (event_id ==
        std::string(make_event_id(commit.hunter_id, commit.hunt_id, commit.request.request_id,
                                  run * static_cast<uint32_t>(limits::awards_max) + position)))
      return true;
  return false;
}

void Audit::add_events(const RedisStore& store, StoreModel& model, Commit& commit) {
  std::string const key(keys::held(commit.hunter_id, commit.hunt_id));
  HeldModel& held = model.holdings[key];
  check_generation(store, key, held);
  check_takes(held, commit);
  for (size_t i = 0; i < commit.events.size(); ++i) {
    AwardedEvent& event = commit.events[i];
    event.number = events_.size() + 1;
    event.floor_lost = floor_in(store, commit.hunt_id) < hunts_[commit.hunt_id].floor;
    if (!follows_from(commit, event.event_id, static_cast<uint32_t>(i)))
      world_.violation("I2", "an event_id does not follow from its request: " + event.value);
    if (event.generation != held.generation || event.seq != ++held.seq)
      world_.violation("I2", fmt::format("after {} events of generation {}: {}", held.seq - 1,
                                         generation_text(held.generation), event.value));
    bool const is_new = newest_.insert_or_assign(event.event_id, event.value).second;
    if (!is_new && model.records_lost.count(commit.record_key) == 0)
      world_.violation("I2", "an event_id was used twice: " + event.value);
    if (!names_.insert(fmt::format("{}/{}/{}", key, event.generation, event.seq)).second)
      world_.violation("I2", "generation and seq name two events: " + event.value);
    events_[event.value] = event;
    held.events.push_back(event.value);
    add_units(held, event);
    check_ticket(store, model, event);
  }
  if (commit.hunt_id == "smith") held.states.push_back(held.loot);
}

// The hunter held all that the run takes, without what it gives.
void Audit::check_takes(const HeldModel& held, const Commit& commit) {
  std::map<std::string, int64_t> taken;
  for (const AwardedEvent& event : commit.events)
    if (event.units < 0) taken[event.loot_id] -= event.units;
  for (const auto& [loot_id, count] : taken) {
    auto const has = held.loot.find(loot_id);
    if (has == held.loot.end() || static_cast<int64_t>(has->second) < count)
      world_.violation("I2", fmt::format("{} {} are taken, and the hunter has less: {}", count,
                                         loot_id, commit.record_key));
  }
}

void Audit::add_units(HeldModel& held, const AwardedEvent& event) {
  uint64_t& count = held.loot[event.loot_id];
  if (event.units > 0) {
    count += static_cast<uint64_t>(event.units);
    held.added += static_cast<uint64_t>(event.units) - 1;
  } else {
    auto const taken = static_cast<uint64_t>(-event.units);
    ++takes_;
    if (taken > count)
      return world_.violation("I2", fmt::format("{} {} are taken, of {}: {}", taken, event.loot_id,
                                                count, event.value));
    count -= taken;
    held.taken += taken + 1;
  }
  bool const once = event.loot_id.starts_with("crown") || event.loot_id.starts_with("page");
  if (once && count > 1)
    world_.violation("I2", "a second " + event.loot_id +
                               ": its script read loot or a state that was out of date");
}

// A ticket has its unit, unless Redis has lost the mark of it; then one more may be given.
void Audit::check_ticket(const RedisStore& store, StoreModel& model, const AwardedEvent& event) {
  if (event.from_supply != (event.loot_id == "ticket"))
    world_.violation("I3", "drawn from a supply, or not: " + event.value);
  if (event.loot_id != "ticket") return;
  std::string const supply(keys::supply(event.hunt_id, event.loot_id));
  auto const units = store.keys().find(supply);
  bool const has_unit = units != store.keys().end() &&
                        std::get<RedisStore::Hash>(units->second.is).count(event.event_id) > 0;
  // A core may have been stopped from the reservation until after a purge.
  bool const excused = model.lossy || hunts_[event.hunt_id].purged_at_ns != never_ns;
  if (!has_unit && !excused)
    world_.violation("I2", "a ticket was awarded without a unit: " + event.value);
  if (!has_unit) ++model.units_lost[supply];
  uint64_t const given = model.total(event.hunt_id, event.loot_id);
  if (given > tickets_ + model.units_lost[supply])
    world_.violation("I2", fmt::format("{} tickets of {} were awarded, and {} marks lost", given,
                                       tickets_, model.units_lost[supply]));
}

// A commit that failed half-way, or did not begin, has changed nothing.
void Audit::check_undone(const RedisStore& store, const Commit& commit) {
  if (commit.events.empty()) return;
  auto const outbox =
      store.keys().find(std::string(keys::outbox(bucket_of(commit.events.front().hunter_id))));
  if (outbox == store.keys().end()) return;
  for (const auto& [id, fields] : std::get<RedisStore::Stream>(outbox->second.is).entries)
    for (const AwardedEvent& event : commit.events)
      if (fields.back() == event.value)
        world_.violation("I1", "an event of a commit that was rejected: " + event.value);
}

void Audit::check_tombstone(const RedisStore& store, const std::string& key) {
  auto const found = store.keys().find(key);
  if (found == store.keys().end()) return;
  const auto* const text = std::get_if<std::string>(&found->second.is);
  if (text == nullptr || !text->starts_with("void ")) return;
  auto const attempts = static_cast<size_t>(std::count(text->begin(), text->end(), ' '));
  if (attempts > limits::tombstone_attempts_max)
    world_.violation("I7", fmt::format("a tombstone lists {} attempts: {}", attempts, key));
  if (found->second.expires_at_ms < 0)
    world_.violation("I7", "a tombstone is kept for ever: " + key);
}

// I1: Redis holds what it has committed.
void Audit::check_held(const RedisStore& store, const std::string& key) {
  RedisStore::Hash is;
  auto const found = store.keys().find(key);
  if (found != store.keys().end())
    is = readable_fields(std::get<RedisStore::Hash>(found->second.is));
  const StoreModel& model = models_[&store];
  auto const held = model.holdings.find(key);
  if (is == (held == model.holdings.end() ? RedisStore::Hash() : held->second.fields())) return;
  std::string text = "Redis does not hold the awarded loot: " + key;
  for (const auto& [field, value] : is) text += " " + field + "=" + value;
  world_.violation("I1", text);
}

void Audit::on_writes(RedisStore& store, const std::vector<Words>& writes) {
  if (writes.front().size() > 1 && writes.front()[1].find("{huntd-probe}") != std::string::npos)
    return;  // of the self-test
  StoreModel& model = models_[&store];
  note_secrets(writes);
  Commit commit;
  if (read_commit(writes, commit)) {
    world_.trace("redis commits {} {} key {}: {} awards, generation {:x}", commit.hunter_id,
                 commit.hunt_id, commit.key, commit.events.size(),
                 commit.events.empty() ? 0 : commit.events.front().generation);
    if (!model.done.insert(commit.record_key).second)
      world_.violation("I2", "a request was committed twice: " + commit.record_key);
    Wish* const wish = find_wish(commit);
    if (wish == nullptr) return;
    wish->commits.push_back(commit.request);
    if (!commit.state.empty())
      model.holdings[std::string(keys::held(commit.hunter_id, commit.hunt_id))].state =
          commit.state;
    if (!commit.events.empty()) add_events(store, model, commit);
  } else {
    check_undone(store, commit);
    bool const half_way = writes.front()[1].starts_with("held:");
    if (!commit.record_key.empty() && !half_way) ++voided_;
    if (half_way) ++undone_;
    if (!commit.record_key.empty()) check_tombstone(store, commit.record_key);
  }
  std::set<std::string> changed;
  for (const Words& words : writes)
    if (words.size() > 1 && words[1].starts_with("held:")) changed.insert(words[1]);
  for (const std::string& key : changed) check_held(store, key);
}

// --- what a core sends ---------------------------------------------------------------------------

void Audit::on_core_response(std::string_view bytes) {
  if (!bytes.starts_with("HTTP/1.1 200 ")) return;
  size_t const body_at = bytes.find("\r\n\r\n");
  if (body_at == std::string_view::npos) return;
  simdjson::dom::parser parser;
  Dom body;
  simdjson::padded_string const text(bytes.substr(body_at + 4));
  if (parser.parse(text).get(body) != simdjson::SUCCESS) return;
  if (text_at(body, "request_id").empty()) return;
  if (check_units_of(text, body, "loot", 1)) check_units_of(text, body, "taken", -1);
}

// Checks a list of a response against the events. Returns false after a violation.
bool Audit::check_units_of(std::string_view response, Dom body, const char* list, int32_t sign) {
  simdjson::dom::array loot;
  if (body[list].get(loot) != simdjson::SUCCESS) return true;
  for (Dom unit : loot) {
    auto const newest = newest_.find(text_at(unit, "event_id"));
    if (newest == newest_.end()) {
      world_.violation("I4", "200 before the commit: " + std::string(response));
      return false;
    }
    int64_t count = 1;
    Dom of_several;
    if (unit["count"].get(of_several) == simdjson::SUCCESS) count = int64_t(of_several);
    auto const found = events_.find(newest->second);
    if (found->second.loot_id != text_at(unit, "loot_id") || found->second.units != sign * count ||
        found->second.hunter_id != text_at(body, "hunter_id") ||
        found->second.hunt_id != text_at(body, "hunt_id")) {
      world_.violation("I4", "200 with other loot than was awarded: " + std::string(response));
      return false;
    }
  }
  return true;
}

void Audit::on_core_commands(std::string_view bytes, uint64_t running_ns) {
  // A commit has the keys held, done and outbox, one after the other.
  constexpr std::string_view done = "\r\ndone:{b";
  constexpr std::string_view outbox = "outbox:{b";
  for (size_t at = bytes.find(done); at != std::string_view::npos; at = bytes.find(done, at + 1)) {
    size_t const end = bytes.find("\r\n", at + 2);
    size_t const next = bytes.find("\r\n", end + 2) + 2;
    if (end == std::string_view::npos || !bytes.substr(next).starts_with(outbox)) continue;
    HuntTimes const times = hunts_[hunt_of(std::string(bytes.substr(at + 2, end - at - 2)))];
    if (times.closed_at_ns == never_ns || running_ns < closed_after_ns) continue;
    if (world_.now_ns() > times.closed_at_ns + closed_after_ns)
      world_.violation("I8", "a commit for a hunt that has been closed for long");
  }
}

// --- responses -----------------------------------------------------------------------------------

// The wish may be repeated with its request_id as the key. The documents say for 60 s; half of it
// leaves time for a core that stops meanwhile.
void Audit::take_key(Wish& wish, std::string_view body) {
  wish.key = member_of(body, "request_id");
  if (wish.key.empty())
    world_.violation("I4", "an unknown outcome names no key: " + std::string(body));
  wish.repeat_until_ns = world_.now_ns() + 30 * s;
}

// Any response without a result means that nothing was awarded, except outcome-unknown. Returns
// false if the client should retry.
bool Audit::read_problem(Wish& wish, int status, std::string_view body) {
  bool const unknown = body.find("outcome-unknown") != std::string_view::npos;
  if (unknown) ++wish.unknown;
  // Without a key its status is one that no tool repeats, and it names a key.
  bool const names_key = unknown && wish.key.empty();
  bool documented = names_key ? status == 424 : status == 500 || status == 503 || status == 504;
  if (names_key && documented) take_key(wish, body);
  if (body.find("hunt-closed") != std::string_view::npos) {
    const HuntTimes& times = hunts_[wish.hunt_id];
    bool const closed =
        times.closed_at_ns != never_ns ||
        (times.opened_at_ns > 0 && world_.now_ns() <= times.opened_at_ns + open_after_ns);
    documented = status == 409 && closed;
  }
  if (!documented)
    world_.violation("I4", fmt::format("wish {} has response {} {}", wish.number, status, body));
  return wish.hunt_id == "broken" && status == 500;
}

// A result is of a request that was committed, or of one without a key that needs no commit.
void Audit::check_result(const Wish& wish, int status, std::string_view body) {
  std::string const result = result_part(status, body);
  if (result.empty()) world_.violation("I4", "a malformed response: " + std::string(body));
  bool const committed = std::any_of(wish.commits.begin(), wish.commits.end(),
                                     [&result, status](const CommittedRequest& commit) {
                                       return commit.status == status && commit.result == result;
                                     });
  bool const needs_commit = !wish.key.empty() || result.find("event_id") != std::string::npos;
  if (needs_commit && !committed)
    world_.violation("I1", fmt::format("wish {} has response {} and Redis has no record of it: {}",
                                       wish.number, status, result));
}

bool Audit::on_client_response(Wish& wish, int status, std::string_view body) {
  ++responses_;
  if (status != 200 && status != 422) return read_problem(wish, status, body);
  check_result(wish, status, body);
  if (status == 200) wish.answered.insert(member_of(body, "request_id"));
  wish.status = status;
  return true;
}

Audit::Holding Audit::held_now(const std::string& hunter_id, const std::string& hunt_id) const {
  auto const model = models_.find(primary_);
  auto const held = model->second.holdings.find(std::string(keys::held(hunter_id, hunt_id)));
  if (held == model->second.holdings.end()) return {losses_, {}, {}};
  return {losses_, held->second.loot, held->second.states};
}

void Audit::on_held_response(const std::string& hunter_id, const std::string& hunt_id,
                             const Holding& at_first, std::string_view body) {
  simdjson::dom::parser parser;
  Dom root;
  simdjson::dom::object loot;
  simdjson::padded_string const text(body);
  if (parser.parse(text).get(root) != simdjson::SUCCESS ||
      root["loot"].get(loot) != simdjson::SUCCESS)
    return world_.violation("I4", "malformed list of held loot: " + std::string(body));
  std::map<std::string, uint64_t> reported;
  for (auto [loot_id, count] : loot) reported[std::string(loot_id)] = uint64_t(count);
  Holding at_last = held_now(hunter_id, hunt_id);
  if (at_first.losses != at_last.losses || world_.now_ns() < former_until_ns_) return;
  if (hunt_id == "smith") {
    // Not what it was between two commits.
    std::erase_if(reported, [](const auto& each) { return each.second == 0; });
    auto const is_it = [&reported](std::map<std::string, uint64_t> state) {
      std::erase_if(state, [](const auto& each) { return each.second == 0; });
      return state == reported;
    };
    size_t const first = at_first.states.empty() ? 0 : at_first.states.size() - 1;
    bool const was_empty = at_first.states.empty() && reported.empty();
    if (!was_empty && std::none_of(at_last.states.begin() + static_cast<ptrdiff_t>(first),
                                   at_last.states.end(), is_it))
      world_.violation("I4", "GET has what the hunter never held: " + std::string(body));
    return;
  }
  for (const auto& [loot_id, count] : at_first.loot)
    if (reported[loot_id] < count) world_.violation("I4", "GET misses loot: " + std::string(body));
  for (const auto& [loot_id, count] : reported)
    if (count > at_last.loot[loot_id])
      world_.violation("I3", "GET has loot that was not awarded: " + std::string(body));
}

}  // namespace huntd::server::sim
