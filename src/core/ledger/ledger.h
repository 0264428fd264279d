// SPDX-License-Identifier: Apache-2.0
// The ledger's commands: the commit, the stored responses, what a hunter holds, and the outbox.
// Supplies are in core/ledger/supply.h.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/pool.h"
#include "base/task.h"
#include "core/ledger/redis_link.h"

namespace huntd::server {

// Names one request of one hunter; Redis keys and event ids are made of it.
struct RequestName {
  PoolString hunt_id;
  PoolString hunter_id;
  PoolString key;         // the Idempotency-Key, else the request_id
  PoolString request_id;  // of this attempt, 32 hex digits
};

// The stored response of a request. A retry gets the same response.
struct ResponseRecord {
  // What `body_hash` is the hash of. The number is the version of the record.
  enum class Hashed : uint8_t {
    bytes = 1,  // of the request's body; read only: an older huntd wrote it
    value = 2,  // hash_value() of the body (wire/json_value.h)
  };
  uint64_t body_hash = 0;  // the same key with another body is an error; without a body: hash64("")
  int status = 200;
  PoolString bundle;
  PoolString body;  // of the response, with "replayed":false
  Hashed hashed = Hashed::value;
};
PoolString write_record(const ResponseRecord& record);
// Returns nothing if `text` is not a record.
std::optional<ResponseRecord> read_record(std::string_view text);

// A committed event in the outbox.
struct OutboxEntry {
  PoolString id;  // of the stream entry
  uint32_t bucket = 0;
  PoolString hunter_id;
  PoolString event;  // JSON
};

struct Award {
  PoolString loot_id;
  PoolString event_id;
  bool limited = false;  // drawn from a shared supply
};

// What commit() commits. The references must live until it returns.
struct Commit {
  const RequestName& name;
  const PoolVector<Award>& awards;
  const ResponseRecord& response;
  std::optional<uint64_t> expected_seq;  // of the hunter's newest event; else: conflict
  int64_t timestamp_ms = 0;              // of the events
  bool keyed = false;                    // the client sent an Idempotency-Key
};

enum class CommitStatus {
  committed,
  replayed,  // the request was committed before: `record` is the stored response
  conflict,  // what the hunter holds has changed since the script read it
  rejected,  // nothing was written
  unknown,   // it is unknown whether the commit was executed
};
struct CommitResult {
  CommitStatus status = CommitStatus::unknown;
  PoolVector<OutboxEntry> entries;       // committed
  std::optional<ResponseRecord> record;  // replayed
  PoolString reason;                     // rejected; unknown: Redis' error if it sent one
};

struct Held {
  PoolVector<std::pair<PoolString, uint64_t>> loot;  // loot_id, count; sorted by loot_id
  uint64_t seq = 0;                                  // of the newest event
};

class Ledger {
 public:
  Ledger(RedisLink& link, Scheduler& scheduler, uint64_t idempotency_ttl_s);

  bool up() const { return link_.up(); }
  // As of RedisLink.
  bool returning() const { return link_.returning(); }
  Task<bool> usable(uint64_t deadline_at_ns) { return link_.usable(deadline_at_ns); }
  // Whether commits are sent; otherwise they are rejected, for this reason.
  bool suitable() const { return link_.suitable(); }
  std::string_view unsuitable_reason() const { return link_.reason(); }
  size_t in_flight() const { return link_.in_flight(); }

  enum class Found { yes, no, unavailable };
  // Finds the stored response of a request.
  Task<std::pair<Found, ResponseRecord>> find_response(const RequestName& name,
                                                       uint64_t deadline_at_ns);

  // Awards the loot, stores the response and queues the events, all or nothing. If the reply is
  // lost, the commit is repeated until the deadline; the stored response makes that safe.
  Task<CommitResult> commit(const Commit& commit, uint64_t deadline_at_ns);

  // Returns what the hunter holds, or nothing if Redis is unavailable.
  Task<std::optional<Held>> held(const PoolString& hunter_id, const PoolString& hunt_id,
                                 uint64_t deadline_at_ns);

  // Removes acknowledged events from an outbox, without waiting. Returns false if the link is down;
  // the sweep finds the events later.
  bool remove_events(uint32_t bucket, std::span<const PoolString> ids);
  // Returns the number of events in an outbox, 0 if Redis is unavailable.
  Task<uint64_t> outbox_length(uint32_t bucket, uint64_t deadline_at_ns);
  // Returns events that have been in an outbox for more than `age_ms`, or that Redis' clock puts as
  // far into the future; at most limits::sweep_events_max.
  Task<PoolVector<OutboxEntry>> stale_events(uint32_t bucket, uint64_t age_ms,
                                             uint64_t deadline_at_ns);

  // The response of a request without an Idempotency-Key is stored this long, for our own retries
  // of the commit and for a client that asks with the request_id as the key (outcome_unknown()).
  static constexpr uint64_t unkeyed_ttl_ms = 120'000;

 private:
  RedisLink& link_;
  Scheduler& scheduler_;
  uint64_t idempotency_ttl_ms_;
  RedisScript* commit_;
  RedisScript* stale_events_;
};

}  // namespace huntd::server
