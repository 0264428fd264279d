// SPDX-License-Identifier: Apache-2.0
// A model of one Redis: what it must hold, by the commits that it has executed and by what it has
// lost. The audit compares it with the store after each commit.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "redis_store.h"

namespace huntd::server::sim {

// The hash `held` of one hunter in one hunt.
struct HeldModel {
  uint64_t generation = 0;
  std::string lineage;  // as in the field #gen
  uint64_t seq = 0;
  uint64_t before = 0;
  std::map<uint64_t, uint64_t> was;  // generation -> the seq it has reached
  std::map<std::string, uint64_t> loot;
  // Of all generations: units that awards gave beyond one each; units that takes took, and one for
  // each take.
  uint64_t added = 0;
  uint64_t taken = 0;
  std::string state;                // the field #state
  std::vector<std::string> events;  // their JSON, of all generations, in order
  // After each commit, of a hunt that takes loot.
  std::vector<std::map<std::string, uint64_t>> states;

  void begin(uint64_t next, std::string its_lineage);
  // How far Redis knows a generation, 0 if it does not.
  uint64_t reached(uint64_t of) const;
  // Whether reached() does not know generations as old as this one any more.
  bool too_old(uint64_t of) const;
  // As Redis must hold them, after readable_fields().
  RedisStore::Hash fields() const;
};

// The fields of a hash without those that say nothing: counts of 0, and the generation 0.
RedisStore::Hash readable_fields(const RedisStore::Hash& fields);

struct StoreModel {
  std::map<std::string, HeldModel> holdings;  // by Redis key
  std::set<std::string> done;                 // Redis keys that hold a record
  // Events (JSON) whose outbox entry was lost: they are in the topic only if their core has sent
  // them.
  std::set<std::string> outbox_lost;
  // Events that a purge has deleted from `held`; the topic has them all the same.
  std::set<std::string> purged;
  // Records that were lost, or have expired because Redis' clock was set forward: a commit whose
  // reply was lost too is executed twice.
  std::set<std::string> records_lost;
  std::map<std::string, uint64_t> units_lost;  // by Redis key of the supply: marks of units
  // Keys of supplies were lost: units may stay reserved.
  bool keys_lost = false;
  // Something was lost at some time.
  bool lossy = false;

  // `key` is about to go: it has expired, is purged, or is lost.
  void expire(const std::string& key);
  void purge(const std::string& key);
  void lose(const std::string& key, const RedisStore::Value& value);
  // What the hunters hold of one loot of a hunt, together.
  uint64_t total(const std::string& hunt_id, const std::string& loot_id) const;
};

// The hunt_id in the name of a key: of a hunter, or of a supply.
std::string hunt_of(const std::string& key);

}  // namespace huntd::server::sim
