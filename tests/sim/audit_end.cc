// SPDX-License-Identifier: Apache-2.0
// The audit at the end of a run: the wishes, Redis and the topic against the model.
#include <algorithm>

#include "audit.h"
#include "wire/generation.h"
#include "wire/loot_event.h"
#include "wire/redis_keys.h"

namespace huntd::server::sim {

// I4: each commit is of an attempt whose outcome is unknown to the client, or that got the result.
// Every other response means that its attempt awarded nothing.
void Audit::check_wish(const Wish& wish) {
  if (wish.open_attempts != 0)
    world_.violation("I7", fmt::format("wish {} is still open", wish.number));
  std::set<std::string> unanswered;
  for (const CommittedRequest& commit : wish.commits)
    if (commit.status == 200 && wish.answered.count(commit.request_id) == 0)
      unanswered.insert(commit.request_id);
  if (unanswered.size() > wish.unknown)
    world_.violation("I4", fmt::format("wish {}: a response says that nothing was awarded, but it "
                                       "was: {} commits without a response, {} unknown outcomes",
                                       wish.number, unanswered.size(), wish.unknown));
}

void Audit::check_wishes() {
  for (auto& wish : wishes_) check_wish(*wish);
}

void Audit::check_held_at_end(const RedisStore& primary, const StoreModel& model) {
  for (const auto& [key, value] : primary.keys())
    if (key.starts_with("held:")) check_held(primary, key);
  for (const auto& [key, held] : model.holdings) check_held(primary, key);
}

// I8: what Redis has lost is what its generations do not reach, and nothing else.
void Audit::check_lost(const StoreModel& model) {
  std::set<std::string> kept;
  for (const auto& [key, held] : model.holdings)
    kept.insert(held.events.begin(), held.events.end());
  for (const auto& [value, event] : events_) {
    auto const held = model.holdings.find(std::string(keys::held(event.hunter_id, event.hunt_id)));
    bool const is_kept = kept.count(value) > 0;
    if (!is_kept && model.purged.count(value) == 0) ++lost_awards_;
    if (held == model.holdings.end() || held->second.too_old(event.generation)) continue;
    bool const reached = held->second.reached(event.generation) >= event.seq;
    if (is_kept != reached)
      world_.violation("I8", fmt::format("{} by Redis, but its generations say otherwise: {}",
                                         is_kept ? "kept" : "lost", event.value));
    const HuntTimes& times = hunts_[event.hunt_id];
    bool const is_later = event.committed_at_ns > times.purged_at_ns && !event.floor_lost;
    if (is_kept && is_later && event.generation <= times.floor)
      world_.violation("I8", "awarded after a purge, in a season that was purged: " + event.value);
  }
}

void Audit::check_units(const RedisStore& primary, const StoreModel& model) {
  std::set<std::string> units;
  for (const auto& [key, value] : primary.keys()) {
    if (key.starts_with("supply_pending:") && !model.keys_lost)
      world_.violation("I7", fmt::format("{} units of {} are still pending",
                                         std::get<RedisStore::SortedSet>(value.is).size(), key));
    if (!key.starts_with("supply:")) continue;
    for (const auto& [event_id, state] : std::get<RedisStore::Hash>(value.is)) {
      units.insert(event_id);
      if (state != "given" && !model.keys_lost)
        world_.violation("I7",
                         "a unit was neither settled nor released: " + event_id + " " + state);
      if (state == "given" && newest_.count(event_id) == 0)
        world_.violation("I7", "a unit was given, but its loot was not awarded: " + event_id);
    }
  }
  size_t tickets = 0;
  for (const auto& [key, held] : model.holdings)
    for (const std::string& value : held.events) {
      const AwardedEvent& event = events_.at(value);
      if (!event.from_supply) continue;
      ++tickets;
      if (!model.lossy && units.count(event.event_id) == 0)
        world_.violation("I2", "a ticket was awarded without a unit: " + value);
    }
  if (!model.lossy && units.size() != tickets)
    world_.violation("I7", fmt::format("{} units are taken for {} tickets", units.size(), tickets));
}

// A record without a TTL belongs to a unit that is not given yet, and there is none.
void Audit::check_record(const RedisStore::Value& value, const std::string& key,
                         const StoreModel& model) {
  check_tombstone(*primary_, key);
  if (value.expires_at_ms < 0 && !model.keys_lost)
    world_.violation("I7", "a record is kept for ever: " + key);
}

void Audit::check_redis(const RedisStore& primary, bool outbox_is_emptied) {
  const StoreModel& model = models_[&primary];
  check_held_at_end(primary, model);
  check_lost(model);
  check_units(primary, model);
  size_t in_outbox = 0;
  for (const auto& [key, value] : primary.keys()) {
    if (key.starts_with("done:")) check_record(value, key, model);
    if (key.starts_with("outbox:"))
      in_outbox += std::get<RedisStore::Stream>(value.is).entries.size();
  }
  if (outbox_is_emptied && in_outbox != 0)
    world_.violation("I7", fmt::format("{} events are still in the outbox", in_outbox));
  if (!outbox_is_emptied && !model.lossy && in_outbox != events_.size())
    world_.violation("I7",
                     fmt::format("{} events in the outbox, not {}", in_outbox, events_.size()));
}

// The topic as a table counts it: an event once by hunter, hunt, generation and seq.
void Audit::check_topic(const RedisStore& primary, const Topic& topic) {
  std::set<std::string> seen;
  std::map<std::string, std::string> counted;  // names, as of names_ -> JSON
  for (const auto& partition : topic.records) {
    std::map<std::string, std::map<const Machine*, uint64_t>> newest;  // by key, producer
    std::map<std::string, uint64_t> newest_of_all;
    for (const TopicRecord& record : partition) {
      Result<LootEvent> event = read_loot_event(record.value);
      auto const found = event ? events_.find(record.value) : events_.end();
      if (found == events_.end() || found->second.hunter_id != record.key) {
        world_.violation("I3", "the topic has an event that was not awarded: " + record.value);
        continue;
      }
      std::string const key(keys::held(event->hunter_id, event->hunt_id));
      std::string const name = fmt::format("{}/{}/{}", key, event->generation, event->seq);
      if (counted.try_emplace(name, record.value).first->second != record.value)
        world_.violation("I2", "an event would be counted as another: " + record.value);
      if (!seen.insert(record.value).second) ++repeated_;
      // I5: an event that the sweep has found may come late.
      auto const swept = swept_at_ns_.find(record.value);
      if (swept != swept_at_ns_.end() && swept->second <= record.produced_at_ns) continue;
      uint64_t const number = found->second.number;
      uint64_t& last = newest[key][record.producer];
      if (number < last) world_.violation("I5", "an earlier event comes later: " + record.value);
      last = std::max(last, number);
      uint64_t& last_of_all = newest_of_all[key];
      if (number < last_of_all) ++out_of_order_;
      last_of_all = std::max(last_of_all, number);
    }
  }
  const StoreModel& model = models_[&primary];
  std::set<std::string> expected = model.purged;
  for (const auto& [key, held] : model.holdings)
    expected.insert(held.events.begin(), held.events.end());
  for (const std::string& value : expected)
    if (seen.count(value) == 0 && model.outbox_lost.count(value) == 0)
      world_.violation("I1", "an award has no event in Kafka: " + value);
}

}  // namespace huntd::server::sim
