// SPDX-License-Identifier: Apache-2.0
// What reconcile has found.
#pragma once
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "reconcile/session_check.h"

namespace huntd::reconcile {

struct Report {
  uint64_t sessions = 0;  // (hunter, hunt) pairs in any of the stores
  int64_t held_loot = 0;  // loot in Redis
  int64_t row_loot = 0;   // loot in hunt_session
  uint64_t rows = 0;
  uint64_t kafka_records = 0;  // readable records, with duplicates
  uint64_t kafka_events = 0;   // distinct events
  uint64_t outbox_events = 0;  // distinct events
  uint64_t purged_events = 0;  // distinct events of purged seasons, which are not compared
  uint64_t set_aside = 0;      // unreadable records that are dead letters already
  uint64_t expired = 0;        // sessions whose row, or its beginning, was deleted by retention
  uint64_t waiting = 0;        // events in the outbox and not in the table
  uint64_t lost = 0;           // loot that Redis has lost
  uint64_t supplies = 0;
  uint64_t supply_pending = 0;  // units reserved, neither settled nor released
  uint64_t differences_total = 0;
  std::vector<Difference> differences;     // the first `differences_max`
  std::vector<NamedRecord> dead_lettered;  // the first of `set_aside`

  bool agrees() const { return differences_total == 0; }
  // Agrees, and no event is in transit.
  bool complete() const { return agrees() && waiting == 0 && outbox_events == 0; }
};

// Makes a report of findings that come in any order. Its lists are the first by hunter and hunt,
// then supplies, then what cannot be read, so they do not depend on how the sessions were grouped.
class Findings {
 public:
  // Keeps at most `list_max` differences, and as many dead letters.
  explicit Findings(size_t list_max) : list_max_(list_max) {}

  // The numbers, which the caller adds to.
  Report& totals() { return totals_; }
  // The differences of one session come in their order.
  void add(Difference difference);
  // An unreadable record. It is a difference.
  void add_unreadable(std::string_view position, std::string_view reason);
  // An unreadable record that is a dead letter.
  void add_dead_letter(std::string_view position, std::string_view reason);
  // Returns the report; the findings are empty afterwards.
  Report take();

 private:
  struct Listed {
    uint32_t section;
    uint64_t number;  // orders what is equal otherwise
    Difference difference;
    bool operator<(const Listed& other) const {
      return std::tie(section, difference.hunter_id, difference.hunt_id, number) <
             std::tie(other.section, other.difference.hunter_id, other.difference.hunt_id,
                      other.number);
    }
  };
  struct ListedRecord {
    std::string order;
    NamedRecord record;
    bool operator<(const ListedRecord& other) const { return order < other.order; }
  };

  Report totals_;
  size_t list_max_;
  uint64_t next_number_ = 0;
  std::set<Listed> differences_;
  std::multiset<ListedRecord> unreadable_;
  std::multiset<ListedRecord> dead_letters_;
};

// The report for people: totals, then differences.
std::string report_text(const Report& report, bool has_kafka);
// The report as one JSON object and a newline (docs/aggregator.md#huntctl-reconcile).
std::string report_json(const Report& report, bool has_kafka);

}  // namespace huntd::reconcile
