// The judgement: do the books agree, to the last item?
//
// Redis is what was given. For every hunter and hunt
//   - the counts in held add up to its #seq;
//   - with Kafka: the distinct events of topic and outbox have the seqs 1 to #seq without a hole,
//   and their
//     loot adds up to held;
//   - the row has seen the seqs 1 to #seq, and its loot is held; an event that is still in the
//   outbox and
//     not in the row is *waiting*, which is no difference;
//   - no seq and no event_id names two events.
// Once rows were deleted by age (books.h, forgotten_before_ms), what went with them is *forgotten*,
// which is no difference: a beginning of the seqs. A hole after the first seq that is still known
// is a loss at any age.
//
// Of every shared supply no more is given than hunters hold, and each unit's event is there.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "reconcile/books.h"

namespace huntd {

struct Difference {
  std::string kind;  // one word, stable: for programs
  std::string hunter_id;
  std::string hunt_id;
  std::string detail;  // one sentence: for people
};

struct Verdict {
  uint64_t sessions = 0;   // (hunter, hunt) pairs known to anyone
  uint64_t held_loot = 0;  // loot in Redis
  uint64_t row_loot = 0;   // loot in hunt_session
  uint64_t rows = 0;
  uint64_t kafka_records = 0;  // readable ones, repeated ones too
  uint64_t kafka_events = 0;   // distinct ones
  uint64_t outbox_events = 0;  // distinct ones in the outbox
  uint64_t forgotten = 0;      // sessions whose row, or the old part of it, was deleted by age
  uint64_t waiting = 0;        // given, in the outbox, not in the table yet
  uint64_t supplies = 0;
  uint64_t supply_pending = 0;  // units reserved, neither given nor released yet
  uint64_t differences_total = 0;
  std::vector<Difference> differences;  // the first `differences_max` of them

  bool agrees() const { return differences_total == 0; }
  // Agrees, and nothing is under way.
  bool settled() const { return agrees() && waiting == 0 && outbox_events == 0; }
};

// Sorts books.events on the way.
Verdict compare(Books& books, size_t differences_max);

// The verdict for people: the totals, then the differences.
std::string verdict_text(const Verdict& verdict, bool has_kafka);
// The same as one JSON object with a newline (docs/aggregator.md names its fields).
std::string verdict_json(const Verdict& verdict, bool has_kafka);

}  // namespace huntd
