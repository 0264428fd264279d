// SPDX-License-Identifier: Apache-2.0
// Shared supplies: N units of one loot for all hunters together, never more.
//
// On Redis Cluster a supply and a hunter's data are in different hash slots, so one script cannot
// update both. A unit is therefore reserved for an event while the script of the hunt waits, and
// settled after the hunter's commit, or released if there is none. The request's `done` record
// decides: if a core dies in between, a sweep reads the record and either settles the unit, or
// voids the request and releases the unit. See docs/decisions/0010-limited-supplies.md.
#pragma once
#include "core/ledger/ledger.h"

namespace huntd::server {

// One unit, reserved for one event.
struct Reservation {
  PoolString loot_id;
  PoolString event_id;
};

class Supply {
 public:
  Supply(RedisLink& link, Scheduler& scheduler, CoreMetrics& metrics, uint64_t idempotency_ttl_s);

  enum class Granted { yes, gone, unavailable };
  // Reserves a unit for an event; again if the connection ends before the reply. After `unavailable` it is unknown whether the unit is reserved.
  Task<Granted> reserve(const RequestName& name, const PoolString& loot_id,
                        const PoolString& event_id, uint64_t limit, uint64_t deadline_at_ns);
  // The commit is done: the units are settled, and the request's record may expire. Does not wait;
  // if a command is lost, the sweep settles the unit.
  void settle(const RequestName& name, const PoolVector<Reservation>& units, bool keyed);
  // The request will never be committed: the units are released. Does not wait; if a command is
  // lost, the sweep releases the unit.
  void release(const RequestName& name, const PoolVector<Reservation>& units);

  // Settles or releases every stale reservation of the supplies whose bucket (of the supply's name)
  // `owns` accepts.
  Task<> sweep(bool (*owns)(void* context, uint32_t bucket), void* context);

  static constexpr uint64_t stale_after_ms = 30'000;
  static constexpr uint64_t sweep_units_max = 100;  // per supply and sweep

 private:
  Task<> settle_unit(RequestName name, Reservation unit, uint64_t ttl_ms);
  Task<> release_unit(RequestName name, Reservation unit, PoolString owner, bool by_sweep);
  Task<> resolve_unit(PoolString hunt_id, PoolString loot_id, PoolString event_id,
                      PoolString owner);

  RedisLink& link_;
  Scheduler& scheduler_;
  CoreMetrics& metrics_;
  uint64_t idempotency_ttl_ms_;
  RedisScript* reserve_;
  RedisScript* settle_;
  RedisScript* release_;
  RedisScript* stale_units_;
  RedisScript* resolve_;
};

}  // namespace huntd::server
