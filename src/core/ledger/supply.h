// SPDX-License-Identifier: Apache-2.0
// Shared supplies: N units of one loot for all hunters together, never more.
//
// On Redis Cluster a supply and a hunter's data are in different hash slots, so one script cannot
// update both. A unit is therefore reserved for an event while the script of the hunt waits, and
// settled after the hunter's commit, or released if there is none. The request's `done` record
// decides: if a core dies in between, a sweep reads the record and either settles the unit, or
// voids the attempt and releases the unit. See docs/decisions/0010-limited-supplies.md.
#pragma once
#include <algorithm>
#include <optional>
#include <string_view>

#include "core/ledger/ledger.h"
#include "environment/clock.h"

namespace huntd::server {

// One unit, reserved for one event. An event belongs to one attempt, so no other attempt has it.
struct Reservation {
  PoolString loot_id;
  PoolString event_id;
};

// A unit that is neither given nor released, as its field in the supply says.
struct ReservedUnit {
  bool settling = false;  // it was awarded: the record needs its TTL, then the unit is given
  PoolString owner;       // "request_id hunter_id key"
  RequestName name;
};
// Reads the state of a unit of a supply of this hunt. Returns nothing if it is malformed, or given.
std::optional<ReservedUnit> read_unit_state(std::string_view hunt_id, std::string_view state);

// The supplies that this core has enlisted (docs/formats/redis.md, `supplies:{HUNT}`), so that a
// reservation need not ask again.
class EnlistedSupplies {
 public:
  // Removes all of them if they were enlisted on another lineage, or too long ago.
  void refresh(uint64_t lineage, uint64_t now_ns);
  bool has(const PoolString& supply_name) const { return names_.count(supply_name) > 0; }
  void add(const PoolString& supply_name);
  void remove(const PoolString& supply_name) { names_.erase(supply_name); }

  static constexpr size_t count_max = 4096;
  static constexpr uint64_t kept_ns = 60'000'000'000;

 private:
  PoolSet<PoolString> names_;  // "hunt_id:loot_id"
  uint64_t lineage_ = 0;
  uint64_t since_ns_ = 0;
};

class Supply {
 public:
  Supply(RedisNodes& redis, Scheduler& scheduler, Clock& clock, CoreMetrics& metrics,
         uint64_t idempotency_ttl_s, uint64_t request_deadline_ms);

  enum class Granted {
    yes,
    gone,
    full,  // the hunt has drawn on limits::supplies_per_hunt_max others
    unavailable,
  };
  // Reserves a unit for an event; again if the connection ends before the reply. After
  // `unavailable` it is unknown whether the unit is reserved.
  Task<Granted> reserve(const RequestName& name, const PoolString& loot_id,
                        const PoolString& event_id, uint64_t limit, uint64_t deadline_at_ns);
  // How many of `limit` units are neither given nor reserved, at most about a round trip to Redis
  // ago; again if the connection ends before the reply. Nothing if Redis is unavailable.
  Task<std::optional<uint64_t>> left(const PoolString& hunt_id, const PoolString& loot_id,
                                     uint64_t limit, uint64_t deadline_at_ns);
  // The commit is done: the units are settled, and the request's record may expire. Does not wait;
  // if a reply is lost, the sweep goes on.
  void settle(const RequestName& name, const PoolVector<Reservation>& units, bool keyed);
  // The attempt will never be committed: the units are released. Does not wait; if a reply is lost,
  // the sweep releases the unit.
  void release(const RequestName& name, const PoolVector<Reservation>& units);

  // Settles or releases the stale reservations of the supplies whose shard `owns` accepts, shard N
  // as bucket N. Its work is bounded by sweep_steps_max; the next sweep goes on where it ended.
  using Owns = bool (*)(void* context, uint32_t bucket);
  Task<> sweep(Owns owns, void* context);

  // A reservation of this age has no request any more that could commit it: a commit is not sent
  // after the request's deadline.
  static constexpr uint64_t stale_after_ms(uint64_t request_deadline_ms) {
    return std::max<uint64_t>(30'000, request_deadline_ms + 10'000);
  }
  static constexpr size_t sweep_units_max = 100;   // stale units per visit of a supply
  static constexpr size_t sweep_steps_max = 1000;  // supplies visited and units resolved, per sweep
  static constexpr size_t sweep_page_supplies = 100;
  static constexpr size_t sweep_old_names_max = 1000;  // of the set `supplies`, per sweep
  // Every so many walks over the shards visit also supplies that were drawn on a moment ago: a
  // supply that never rests has stale units too.
  static constexpr uint32_t sweep_all_every = 4;

 private:
  // A walk over all shards; it may take several sweeps.
  struct Walk {
    uint32_t number = 0;
    uint32_t shard = 0;
    size_t skip = 0;  // supplies of the shard that were visited and stay in it
    bool all() const { return number % sweep_all_every == 0; }
    void next_shard() {
      ++shard;
      skip = 0;
    }
  };
  struct Page {
    size_t supplies = 0;
    size_t steps = 0;
  };
  struct Visit {
    size_t units = 0;   // resolved, or tried to
    bool idle = false;  // no unit of the supply is reserved
  };
  // The walk over the set `supplies`, once per connection.
  struct OldSet {
    uint64_t connection = 0;
    PoolString cursor = "0";
    bool complete = true;  // each name so far was adopted
    bool done = false;
  };
  enum class Enlisted { yes, full, lost, unavailable };

  Task<Enlisted> enlist(const PoolString& hunt_id, const PoolString& loot_id,
                        const PoolString& supply_name, uint64_t deadline_at_ns);
  Task<RedisReply> draw(const RequestName& name, const PoolString& loot_id,
                        const PoolString& event_id, uint64_t limit, bool just_enlisted,
                        uint64_t deadline_at_ns);
  Task<> settle_units(RequestName name, PoolVector<Reservation> units, uint64_t ttl_ms);
  Task<bool> settle_unit(const RequestName& name, const Reservation& unit, const PoolString& owner,
                         std::string_view to);
  Task<bool> expire_record(const RequestName& name, uint64_t ttl_ms);
  Task<> release_unit(PoolString hunt_id, Reservation unit, PoolString owner);

  Task<> adopt_old_supplies();
  Task<bool> adopt_old_supply(PoolString supply_name);
  Task<Page> visit_page(Owns owns, void* context);
  Task<Visit> visit_supply(PoolString hunt_id, PoolString loot_id);
  Task<> resolve_unit(PoolString hunt_id, Reservation unit, PoolString state);
  Task<bool> remove_drawn(const PoolString& supply_name, const PoolString& drawn_at_ms);

  RedisNodes& redis_;
  Scheduler& scheduler_;
  Clock& clock_;
  CoreMetrics& metrics_;
  uint64_t idempotency_ttl_ms_;
  uint64_t resolved_ttl_ms_;  // of a record or tombstone that a sweep had to read
  uint64_t stale_after_ms_;
  EnlistedSupplies enlisted_;
  Walk walk_;
  OldSet old_set_;
  RedisScript* enlist_;
  RedisScript* reserve_;
  RedisScript* taken_units_;
  RedisScript* settle_;
  RedisScript* expire_record_;
  RedisScript* release_;
  RedisScript* stale_units_;
  RedisScript* resolve_;
  RedisScript* drawn_supplies_;
  RedisScript* remove_drawn_;
};

}  // namespace huntd::server
