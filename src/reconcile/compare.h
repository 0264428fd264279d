// SPDX-License-Identifier: Apache-2.0
// Checks whether Redis, Kafka and PostgreSQL agree on every award.
//
// Redis is the reference. For every hunter and hunt
//   - the counts in held add up to #before + #seq;
//   - with Kafka, the distinct events of topic and outbox have, of each generation, all seqs that
//     Redis has assigned, and their loot adds up to held;
//   - the row has seen the same seqs, and its loot equals held. An event that is in the outbox and
//     not in the row is *waiting*, which is not a difference;
//   - no seq of a generation and no event_id belongs to two events.
// What Kafka, the outbox or the table have beyond that, Redis has *lost*.
//
// Generations of purged seasons are not compared. If rows were deleted by retention
// (Snapshots::expired_before_ms), the beginning of a hunter's awards may have *expired*, which is
// not a difference. A hole after the first award that is still known is a difference at any age.
//
// Of every shared supply, no more units are given than hunters hold, the event of each unit exists,
// and Redis knows all units that the table has counted.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "reconcile/session_check.h"
#include "reconcile/snapshot.h"

namespace huntd::reconcile {

struct Report {
  uint64_t sessions = 0;   // (hunter, hunt) pairs in any of the stores
  uint64_t held_loot = 0;  // loot in Redis
  uint64_t row_loot = 0;   // loot in hunt_session
  uint64_t rows = 0;
  uint64_t kafka_records = 0;  // readable records, with duplicates
  uint64_t kafka_events = 0;   // distinct events
  uint64_t outbox_events = 0;  // distinct events
  uint64_t purged_events = 0;  // distinct events of purged seasons, which are not compared
  uint64_t set_aside = 0;      // unreadable Kafka records that are dead letters already
  uint64_t expired = 0;        // sessions whose row, or its beginning, was deleted by retention
  uint64_t waiting = 0;        // events in the outbox and not in the table
  uint64_t lost = 0;           // loot that Redis has lost
  uint64_t supplies = 0;
  uint64_t supply_pending = 0;  // units reserved, neither settled nor released
  uint64_t differences_total = 0;
  std::vector<Difference> differences;  // the first `differences_max`

  bool agrees() const { return differences_total == 0; }
  // Agrees, and no event is in transit.
  bool complete() const { return agrees() && waiting == 0 && outbox_events == 0; }
};

// One comparison. The stores of a live system are in motion while they are read, so a session that
// differs can be read again before it is reported: check(), then for the doubtful() sessions read
// their rows, then their `held`, into the snapshots, and check_again(), any number of times; then
// report().
class Comparison {
 public:
  // Sorts snapshots.events. `snapshots` must outlive the comparison.
  Comparison(Snapshots& snapshots, size_t differences_max)
      : snapshots_(snapshots), differences_max_(differences_max) {}

  void check();
  // The indexes of the sessions whose differences may be only events in motion.
  std::vector<uint32_t> doubtful() const;
  // Whether the next merge may count an event that a doubtful session's row has not seen.
  bool awaits_merge() const;
  void check_again();
  // Ends the comparison.
  Report report();

 private:
  struct Doubt {
    uint32_t session;
    std::span<const EventSnapshot> events;
    Reach reach;
    RowFindings findings;
  };

  void add(Difference difference);
  void add(const char* kind, const SessionSnapshot& session, std::string detail);
  void add(const RowFindings& findings, const SessionSnapshot& session);
  void sort_events();
  void find_shared_event_ids();
  bool is_purged(const EventSnapshot& event) const;
  void check_session(uint32_t index, std::span<const EventSnapshot> events);
  void count_events(const SessionSnapshot& session, std::span<const EventSnapshot> events);
  std::vector<EventId> sorted_event_ids() const;
  void check_supplies();

  Snapshots& snapshots_;
  size_t differences_max_;
  Report report_;
  std::vector<Doubt> doubts_;
  std::unordered_map<std::string, uint64_t> held_of_loot_;  // or lost, by "hunt_id:loot_id"
};

// A comparison of one reading.
Report compare(Snapshots& snapshots, size_t differences_max);

// The report for people: totals, then differences.
std::string report_text(const Report& report, bool has_kafka);
// The report as one JSON object and a newline (docs/aggregator.md#huntctl-reconcile).
std::string report_json(const Report& report, bool has_kafka);

}  // namespace huntd::reconcile
