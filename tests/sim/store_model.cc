// SPDX-License-Identifier: Apache-2.0
#include "store_model.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "wire/generation.h"
#include "wire/redis_keys.h"

namespace huntd::server::sim {

void HeldModel::begin(uint64_t next, std::string its_lineage) {
  if (seq > 0) {
    was[generation] = seq;
    before += seq;
  }
  while (was.size() > limits::held_was_max) was.erase(was.begin());
  generation = next;
  lineage = std::move(its_lineage);
  seq = 0;
}

uint64_t HeldModel::reached(uint64_t of) const {
  if (of == generation) return seq;
  auto const found = was.find(of);
  return found == was.end() ? 0 : found->second;
}

bool HeldModel::too_old(uint64_t of) const {
  return was.size() == limits::held_was_max && of < was.begin()->first;
}

RedisStore::Hash HeldModel::fields() const {
  RedisStore::Hash all;
  for (const auto& [loot_id, count] : loot)
    if (count > 0) all[loot_id] = fmt::format("{}", count);
  if (!state.empty()) all[std::string(keys::state_field)] = state;
  if (added > 0) all[std::string(keys::added_field)] = fmt::format("{}", added);
  if (taken > 0) all[std::string(keys::taken_field)] = fmt::format("{}", taken);
  if (seq > 0) all[std::string(keys::seq_field)] = fmt::format("{}", seq);
  if (before > 0) all[std::string(keys::before_field)] = fmt::format("{}", before);
  for (const auto& [past, its_seq] : was)
    all[std::string(keys::was_prefix) + generation_text(past)] = fmt::format("{}", its_seq);
  if (generation > 0)
    all[std::string(keys::gen_field)] = generation_text(generation) + " " + lineage;
  return all;
}

RedisStore::Hash readable_fields(const RedisStore::Hash& fields) {
  std::string const no_generation = generation_text(0) + " " + generation_text(0);
  RedisStore::Hash readable;
  for (const auto& [field, value] : fields)
    if (value != "0" && value != no_generation) readable[field] = value;
  return readable;
}

std::string hunt_of(const std::string& key) {
  // suppl…:{HUNT:LOOT} or supplies:{HUNT}
  size_t const brace = key.find('{') + 1;
  if (key.starts_with("suppl")) return key.substr(brace, key.find_first_of(":}", brace) - brace);
  // KIND:{bN}:HUNTER:HUNT, and of `done` a colon and the key of the request.
  size_t const hunter = key.find("}:") + 2;
  size_t const hunt = key.find(':', hunter) + 1;
  return key.substr(hunt, key.find(':', hunt) - hunt);
}

void StoreModel::expire(const std::string& key) {
  if (done.erase(key) > 0) records_lost.insert(key);
}

void StoreModel::purge(const std::string& key) {
  done.erase(key);
  auto const found = holdings.find(key);
  if (found == holdings.end()) return;
  purged.insert(found->second.events.begin(), found->second.events.end());
  holdings.erase(found);
}

void StoreModel::lose(const std::string& key, const RedisStore::Value& value) {
  lossy = true;
  keys_lost = keys_lost || key.starts_with("suppl");
  holdings.erase(key);
  if (done.erase(key) > 0) {
    records_lost.insert(key);
    // A committed request looks as if it were not, and its units are released.
    if (hunt_of(key) == "ticket") units_lost[std::string(keys::supply("ticket", "ticket"))] += 2;
  }
  if (key.starts_with("supply:")) units_lost[key] += std::get<RedisStore::Hash>(value.is).size();
  if (!key.starts_with("outbox:")) return;
  for (const auto& [id, fields] : std::get<RedisStore::Stream>(value.is).entries)
    outbox_lost.insert(fields.back());
}

uint64_t StoreModel::total(const std::string& hunt_id, const std::string& loot_id) const {
  uint64_t sum = 0;
  for (const auto& [key, held] : holdings) {
    if (hunt_of(key) != hunt_id) continue;
    auto const count = held.loot.find(loot_id);
    if (count != held.loot.end()) sum += count->second;
  }
  return sum;
}

}  // namespace huntd::server::sim
