// What Redis keeps for us, as questions and answers: the commit, the record of answered requests,
// what a hunter holds, and the outbox. Supplies are in award/supply.h.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "award/redis_link.h"
#include "base/pool.h"
#include "base/task.h"

namespace huntd {

// Which request of which hunter: what keys are made of.
struct RequestName {
  Text hunt_id;
  Text hunter_id;
  Text key;         // the Idempotency-Key, else the request_id
  Text request_id;  // this attempt, 32 hex digits
};

// What is remembered of an answered request, so that a repeat gets the same answer.
struct AnswerRecord {
  uint64_t body_hash = 0;  // of the request's body: another body with the same key is an error
  int status = 200;
  Text bundle;
  Text body;  // of the answer, with "replayed":false
};
Text write_record(const AnswerRecord& record);
std::optional<AnswerRecord> read_record(std::string_view text);

// An event that is committed and waits in the outbox.
struct OutboxEntry {
  Text id;  // of the stream
  uint32_t bucket = 0;
  Text hunter_id;
  Text event;  // JSON
};

struct Award {
  Text loot_id;
  Text event_id;
  bool limited = false;  // drawn from a shared supply
};

enum class CommitStatus {
  committed,
  replayed,  // this request was answered before: `record` is that answer
  conflict,  // what the hunter holds has changed since the script saw it
  refused,   // Redis said no before anything was written
  unknown,   // no reply: it may have happened or not
};
struct CommitResult {
  CommitStatus status = CommitStatus::unknown;
  List<OutboxEntry> entries;  // committed
  std::optional<AnswerRecord> record;
  Text why;  // refused; unknown: Redis' error where it said one
};

struct Held {
  List<std::pair<Text, uint64_t>> loot;  // loot_id, count; sorted by loot_id
  uint64_t seq = 0;                      // of the newest event
};

class Ledger {
 public:
  Ledger(RedisLink& link, Scheduler& scheduler, uint64_t idempotency_ttl_s);

  bool up() const { return link_.up(); }
  size_t in_flight() const { return link_.in_flight(); }

  enum class Found { yes, no, unavailable };
  // The record of a request answered before.
  Task<std::pair<Found, AnswerRecord>> find_answer(const RequestName& name,
                                                   uint64_t deadline_at_ns);

  // Gives the awards and remembers the answer. Where the reply is lost it asks again as soon as
  // Redis is back, until the deadline: the record makes that harmless. `expected_seq`: commit only
  // where the hunter's newest event is this one.
  Task<CommitResult> commit(const RequestName& name, const List<Award>& awards,
                            const AnswerRecord& record, std::optional<uint64_t> expected_seq,
                            int64_t timestamp_ms, bool remember_long, uint64_t deadline_at_ns);

  // What the hunter holds; nothing where Redis did not answer.
  Task<std::optional<Held>> held(const Text& hunter_id, const Text& hunt_id,
                                 uint64_t deadline_at_ns);

  // Takes acknowledged events out of one outbox; false where the link is down (they are swept
  // later).
  bool clear(uint32_t bucket, std::span<const Text> ids);
  // How many events one outbox holds; 0 where Redis did not answer.
  Task<uint64_t> outbox_length(uint32_t bucket, uint64_t deadline_at_ns);
  // Events that have stayed in one outbox for longer than `age_ms`.
  Task<List<OutboxEntry>> overdue(uint32_t bucket, uint64_t age_ms, uint64_t deadline_at_ns);

  // A request without a key of the client's is remembered this long, for our own retries.
  static constexpr uint64_t unkeyed_ttl_ms = 120'000;

 private:
  RedisLink& link_;
  Scheduler& scheduler_;
  uint64_t idempotency_ttl_ms_;
  RedisScript* commit_;
  RedisScript* overdue_;
};

}  // namespace huntd
