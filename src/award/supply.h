// Shared supplies: N units of a loot for all hunters together. A supply's count has a slot of its
// own, so it can't be part of the hunter's commit; instead a unit is reserved for the event first
// (while the script waits), then given by the commit, then settled. What is reserved and never
// settled is looked into after a while: its request's record says whether it was given, and a
// request without one is voided before the unit goes back. So never more than N are given
// (docs/decisions: limited supplies).
#pragma once
#include "award/ledger.h"

namespace huntd {

// One unit held for one event.
struct Reservation {
  Text loot_id;
  Text event_id;
};

class Supply {
 public:
  Supply(RedisLink& link, Scheduler& scheduler, CoreStats& stats, uint64_t idempotency_ttl_s);

  enum class Granted { yes, gone, unavailable };
  Task<Granted> reserve(const RequestName& name, const Text& loot_id, const Text& event_id,
                        uint64_t limit, uint64_t deadline_at_ns);
  // The commit is done: the units are given, and the request's record may expire. Needs no waiting;
  // what gets lost is found by the sweep.
  void settle(const RequestName& name, const List<Reservation>& given, bool remember_long);
  // The request will never be committed: the units go back. Also needs no waiting.
  void release(const RequestName& name, const List<Reservation>& reserved);

  // Looks into every stale reservation of the supplies that `mine` (the bucket of a supply's name)
  // says yes to.
  Task<> sweep(bool (*mine)(void* context, uint32_t bucket), void* context);

  static constexpr uint64_t stale_after_ms = 30'000;
  static constexpr uint64_t sweep_most = 100;  // of one supply, one sweep

 private:
  Task<> settle_one(RequestName name, Reservation unit, uint64_t ttl_ms);
  Task<> release_one(RequestName name, Reservation unit, Text owner, bool by_sweep);
  Task<> resolve_one(Text hunt_id, Text loot_id, Text event_id, Text owner);

  RedisLink& link_;
  Scheduler& scheduler_;
  CoreStats& stats_;
  uint64_t idempotency_ttl_ms_;
  RedisScript* reserve_;
  RedisScript* settle_;
  RedisScript* release_;
  RedisScript* stale_;
  RedisScript* resolve_;
};

}  // namespace huntd
