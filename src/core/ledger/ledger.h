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
#include "core/ledger/hunt_states.h"
#include "core/ledger/redis_nodes.h"

namespace huntd::server {

// Names one request of one hunter. The Redis key of its record is made of `key`, its event ids are
// made of `request_id`.
struct RequestName {
  PoolString hunt_id;
  PoolString hunter_id;
  PoolString key;         // the Idempotency-Key, else the request_id
  PoolString request_id;  // of this attempt, 32 hex digits
  // Of the client's traceparent, for log lines and for the headers of the events; empty: none. It
  // is not stored.
  PoolString trace_context = {};
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
  // Of the request; empty: none, or the entry was read from the outbox, which does not have it.
  PoolString trace_context = {};
  uint64_t lineage = 0;  // of the Redis that has the outbox
};

struct Award {
  PoolString loot_id;
  PoolString event_id;
  bool limited = false;  // drawn from a shared supply
  int32_t units = 1;     // below 0: so many are taken from the hunter
};

// What a hunter holds at one moment: generation and seq of the newest event.
struct HeldVersion {
  uint64_t generation = 0;
  uint64_t seq = 0;

  bool operator==(const HeldVersion&) const = default;
};

// What the script keeps of a hunter in a hunt.
struct HunterState {
  PoolString version;  // of the text, 16 hex digits; empty: there is none
  PoolString json;     // an object or an array; empty: there is none

  static constexpr std::string_view no_version = "-";
};

// A run that has asked for a state commits only if that is as it was.
struct StateChange {
  PoolString expected;  // its version, or HunterState::no_version
  // Nothing: it stays. Empty: it is removed.
  std::optional<PoolString> json;
};

// What commit() commits. The references must live until it returns.
struct Commit {
  const RequestName& name;
  const PoolVector<Award>& awards;
  const ResponseRecord& response;
  std::optional<HeldVersion> expected;      // what the script has read; if it changed: conflict
  int64_t timestamp_ms = 0;                 // of the events
  bool keyed = false;                       // the client sent an Idempotency-Key
  const std::optional<StateChange>& state;  // nothing: the script has not asked for it
};

enum class CommitStatus {
  committed,
  replayed,  // the request was committed before: `record` is the stored response
  conflict,  // what the hunter holds has changed since the script read it, or is less than is taken
  full,      // the hunter would hold more than limits::held_loot_max loots; nothing was written
  closed,    // the hunt was closed meanwhile; nothing was written
  rejected,  // nothing was written
  late,      // the deadline had passed before; nothing was written
  unknown,   // it is unknown whether the commit was executed
};
struct CommitResult {
  CommitStatus status = CommitStatus::unknown;
  PoolVector<OutboxEntry> entries;       // committed
  std::optional<ResponseRecord> record;  // replayed
  PoolString reason;  // full: the loot_id; rejected; unknown: Redis' error if it sent one
};

struct Held {
  PoolVector<std::pair<PoolString, uint64_t>> loot;  // loot_id, count; sorted by loot_id
  uint64_t seq = 0;                                  // of the newest event of the generation
  uint64_t generation = 0;
  bool too_many = false;  // more than limits::held_loot_max loots: `loot` is empty

  HeldVersion version() const { return {generation, seq}; }
};

class Ledger {
 public:
  Ledger(RedisNodes& redis, Scheduler& scheduler, Clock& clock, uint64_t idempotency_ttl_s);

  // Whether any Redis is.
  bool up() const { return redis_.up(); }
  bool is_cluster() const { return redis_.is_cluster(); }
  // While it has the same value, lineage_of() each bucket that is up has, too.
  uint64_t changes() const { return redis_.changes(); }
  // Of the Redis that has the bucket.
  bool up(uint32_t bucket) const { return redis_.of_bucket(bucket).up(); }
  uint64_t lineage_of(uint32_t bucket) const { return redis_.of_bucket(bucket).lineage(); }
  // As of RedisLink, of the one that has the hunter.
  bool up(std::string_view hunter_id) const { return redis_.of_hunter(hunter_id).up(); }
  bool returning(std::string_view hunter_id) const {
    return redis_.of_hunter(hunter_id).returning();
  }
  Task<bool> usable(std::string_view hunter_id, uint64_t deadline_at_ns) {
    return redis_.of_hunter(hunter_id).usable(deadline_at_ns);
  }
  // Whether commits are sent; otherwise they are rejected, for this reason.
  bool suitable(std::string_view hunter_id) const { return redis_.of_hunter(hunter_id).suitable(); }
  std::string_view unsuitable_reason(std::string_view hunter_id) const {
    return redis_.of_hunter(hunter_id).reason();
  }
  // Which hunts are closed.
  HuntStates& hunt_states() { return hunt_states_; }

  enum class Found { yes, no, unavailable };
  // Finds the stored response of a request.
  Task<std::pair<Found, ResponseRecord>> find_response(const RequestName& name,
                                                       uint64_t deadline_at_ns);

  // Awards the loot, stores the response and queues the events, all or nothing. If the reply is
  // lost, the commit is repeated until the deadline; the stored response makes that safe. It is not
  // repeated on another lineage, which may have lost the response: the outcome is then unknown.
  Task<CommitResult> commit(const Commit& commit, uint64_t deadline_at_ns);

  // Returns what the hunter holds, or nothing if Redis is unavailable. Bounded: of a hash with more
  // than limits::held_loot_max loots it says so and no more.
  Task<std::optional<Held>> held(const PoolString& hunter_id, const PoolString& hunt_id,
                                 uint64_t deadline_at_ns);

  // Returns what the script keeps of the hunter, or nothing if Redis is unavailable.
  Task<std::optional<HunterState>> state(const PoolString& hunter_id, const PoolString& hunt_id,
                                         uint64_t deadline_at_ns);

  // Removes acknowledged events from an outbox, without waiting. Returns false if the link is down;
  // the sweep finds the events later.
  bool remove_events(uint32_t bucket, std::span<const PoolString> ids);
  // Returns the number of events in an outbox, 0 if Redis is unavailable.
  Task<uint64_t> outbox_length(uint32_t bucket, uint64_t deadline_at_ns);
  // Returns events that have been in an outbox for more than `age_ms`, or that Redis' clock puts as
  // far into the future; at most limits::sweep_events_max. None of an outbox that is on its way to
  // another node.
  Task<PoolVector<OutboxEntry>> stale_events(uint32_t bucket, uint64_t age_ms,
                                             uint64_t deadline_at_ns);

  // The response of a request without an Idempotency-Key is stored this long, for our own retries
  // of the commit and for a client that asks with the request_id as the key (outcome_unknown()).
  static constexpr uint64_t unkeyed_ttl_ms = 120'000;

 private:
  std::optional<CommitResult> reject_attempt(const RedisLink& link, bool up,
                                             std::optional<uint64_t> sent_to,
                                             uint64_t deadline_at_ns) const;
  std::optional<CommitResult> reject_hunt(const PoolString& hunt_id, bool known,
                                          bool may_have_run) const;
  std::optional<Held> read_held(const RedisReply& fields, std::string_view key,
                                std::string_view command);

  RedisNodes& redis_;
  Scheduler& scheduler_;
  Clock& clock_;
  uint64_t idempotency_ttl_ms_;
  HuntStates hunt_states_;
  RedisScript* commit_;
  RedisScript* stale_events_;
};

}  // namespace huntd::server
