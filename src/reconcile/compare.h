// SPDX-License-Identifier: Apache-2.0
// Checks whether Redis, Kafka and PostgreSQL agree on every award.
//
// Redis is the reference. For every hunter and hunt
//   - the counts in held add up to #seq;
//   - with Kafka, the distinct events of topic and outbox have the seqs 1 to #seq without a hole,
//     and their loot adds up to held;
//   - the row has seen the seqs 1 to #seq, and its loot equals held. An event that is in the outbox
//     and not in the row is *waiting*, which is not a difference;
//   - no seq and no event_id belongs to two events.
// If rows were deleted by retention (Snapshots::expired_before_ms), the beginning of a hunter's
// seqs may have *expired*, which is not a difference. A hole after the first seq that is still
// known is a difference at any age.
//
// Of every shared supply, no more units are given than hunters hold, and the event of each unit
// exists.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "reconcile/snapshot.h"

namespace huntd::reconcile {

struct Difference {
  std::string kind;  // one word, stable, for programs (docs/aggregator.md#huntctl-reconcile)
  std::string hunter_id;
  std::string hunt_id;
  std::string detail;  // one sentence, for people
};

struct Report {
  uint64_t sessions = 0;   // (hunter, hunt) pairs in any of the stores
  uint64_t held_loot = 0;  // loot in Redis
  uint64_t row_loot = 0;   // loot in hunt_session
  uint64_t rows = 0;
  uint64_t kafka_records = 0;  // readable records, with duplicates
  uint64_t kafka_events = 0;   // distinct events
  uint64_t outbox_events = 0;  // distinct events
  uint64_t expired = 0;        // sessions whose row, or its beginning, was deleted by retention
  uint64_t waiting = 0;        // events in the outbox and not in the table
  uint64_t supplies = 0;
  uint64_t supply_pending = 0;  // units reserved, neither settled nor released
  uint64_t differences_total = 0;
  std::vector<Difference> differences;  // the first `differences_max`

  bool agrees() const { return differences_total == 0; }
  // Agrees, and no event is in transit.
  bool complete() const { return agrees() && waiting == 0 && outbox_events == 0; }
};

// Sorts snapshots.events.
Report compare(Snapshots& snapshots, size_t differences_max);

// The report for people: totals, then differences.
std::string report_text(const Report& report, bool has_kafka);
// The report as one JSON object and a newline (docs/aggregator.md#huntctl-reconcile).
std::string report_json(const Report& report, bool has_kafka);

}  // namespace huntd::reconcile
