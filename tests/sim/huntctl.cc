// SPDX-License-Identifier: Apache-2.0
#include "huntctl.h"

#include <algorithm>

#include "base/limits.h"
#include "wire/loot_event.h"
#include "wire/redis_keys.h"

namespace huntd::server::sim {
namespace {

// A purge waits until no core commits any more: its copy of `hunts` is too old, and its requests
// are over.
constexpr int64_t closed_min_ms = limits::hunts_stale_ms + 2000;
constexpr int purge_tries = 30;

}  // namespace

HuntState Huntctl::state_of(const std::string& hunt_id) const {
  const auto& all = redis_.store().keys();
  auto const hash = all.find(std::string(keys::hunts));
  if (hash == all.end()) return {};
  const auto& fields = std::get<RedisStore::Hash>(hash->second.is);
  auto const field = fields.find(hunt_id);
  if (field == fields.end()) return {};
  std::optional<HuntState> const state = read_hunt_state(field->second);
  CHECK(state.has_value());
  return *state;
}

void Huntctl::write_state(const std::string& hunt_id, const HuntState& state) {
  Words const words{"HSET", std::string(keys::hunts), hunt_id, write_hunt_state(state)};
  CHECK(redis_.store().execute_as_operator(words).kind == Reply::Kind::number);
}

void Huntctl::close(const std::string& hunt_id, uint64_t for_ns) {
  if (!busy_.insert(hunt_id).second) return;
  world_.fault("a hunt closed", hunt_id);
  audit_.on_hunt_closed(hunt_id);
  write_state(hunt_id, {true, state_of(hunt_id).floor, redis_.wall_ms()});
  world_.after(for_ns, [this, hunt_id] { open(hunt_id); });
}

void Huntctl::open(const std::string& hunt_id) {
  world_.trace("huntctl opens {}", hunt_id);
  write_state(hunt_id, {false, state_of(hunt_id).floor, 0});
  audit_.on_hunt_opened(hunt_id);
  busy_.erase(hunt_id);
}

void Huntctl::purge(const std::string& hunt_id) {
  if (!busy_.insert(hunt_id).second) return;
  world_.fault("a hunt closed to be purged", hunt_id);
  audit_.on_hunt_closed(hunt_id);
  write_state(hunt_id, {true, state_of(hunt_id).floor, redis_.wall_ms()});
  try_purge(hunt_id, 0);
}

void Huntctl::look_after_loss() {
  const auto& all = redis_.store().keys();
  auto const hash = all.find(std::string(keys::hunts));
  if (hash == all.end()) return;
  for (const auto& [hunt_id, text] : std::get<RedisStore::Hash>(hash->second.is)) {
    if (!state_of(hunt_id).closed || !busy_.insert(hunt_id).second) continue;
    audit_.on_hunt_closed(hunt_id);
    world_.after(world_.random.below(5 * s), [this, name = hunt_id] { open(name); });
  }
}

// Whether the hunt has been closed for long enough, and every event has left the outbox.
bool Huntctl::may_purge(const std::string& hunt_id) const {
  HuntState const state = state_of(hunt_id);
  if (redis_.wall_ms() - state.closed_at_ms <= closed_min_ms) return false;
  for (const auto& [key, value] : redis_.store().keys()) {
    if (!key.starts_with("outbox:")) continue;
    for (const auto& [id, fields] : std::get<RedisStore::Stream>(value.is).entries) {
      Result<LootEvent> const event = read_loot_event(fields.back());
      if (event && event->hunt_id == hunt_id) return false;
    }
  }
  return true;
}

// In Redis, and in the table, which has what the topic has.
uint64_t Huntctl::newest_generation(const std::string& hunt_id) const {
  uint64_t newest = state_of(hunt_id).floor;
  for (const auto& [key, value] : redis_.store().keys()) {
    if (!key.starts_with("held:") || hunt_of(key) != hunt_id) continue;
    const auto& fields = std::get<RedisStore::Hash>(value.is);
    auto const field = fields.find(std::string(keys::gen_field));
    if (field == fields.end()) continue;
    if (auto const held = read_held_generation(field->second))
      newest = std::max(newest, held->generation);
  }
  for (const auto& partition : topic_.records)
    for (const TopicRecord& record : partition) {
      Result<LootEvent> const event = read_loot_event(record.value);
      if (event && event->hunt_id == hunt_id) newest = std::max(newest, event->generation);
    }
  return newest;
}

void Huntctl::try_purge(const std::string& hunt_id, int tries) {
  HuntState const state = state_of(hunt_id);
  // Redis has lost that it was closed.
  if (!state.closed || tries == purge_tries) return open(hunt_id);
  if (!may_purge(hunt_id)) {
    world_.after(1 * s, [this, hunt_id, tries] { try_purge(hunt_id, tries + 1); });
    return;
  }
  uint64_t const floor = newest_generation(hunt_id);
  world_.fault("a hunt purged", hunt_id);
  audit_.on_hunt_purged(hunt_id, floor);
  write_state(hunt_id, {true, floor, state.closed_at_ms});
  delete_keys(hunt_id, floor);
}

// One after the other, as by SCAN. What a core that was stopped has awarded since is kept.
void Huntctl::delete_keys(const std::string& hunt_id, uint64_t floor) {
  uint64_t delay_ns = 0;
  for (const auto& [key, value] : redis_.store().keys()) {
    bool const of_hunt = (key.starts_with("held:") || key.starts_with("done:") ||
                          key.starts_with("supply") || key.starts_with("supplies:")) &&
                         hunt_of(key) == hunt_id;
    if (!of_hunt) continue;
    delay_ns += world_.random.below(2 * ms);
    world_.after(delay_ns, [this, name = key, hunt_id, floor] {
      RedisStore& store = redis_.store();
      auto const found = store.keys().find(name);
      if (found == store.keys().end() || state_of(hunt_id).floor != floor) return;
      if (auto const* hash = std::get_if<RedisStore::Hash>(&found->second.is)) {
        auto const field = hash->find(std::string(keys::gen_field));
        auto const held = field == hash->end() ? std::nullopt : read_held_generation(field->second);
        if (held && held->generation > floor) return;
      }
      store.lose_key(name);
    });
  }
  world_.after(delay_ns + 1 * ms, [this, hunt_id] { open(hunt_id); });
}

}  // namespace huntd::server::sim
