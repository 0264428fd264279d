// SPDX-License-Identifier: Apache-2.0
// What the stores contain, by bucket, most of it on disk. redis_snapshot.h, kafka_snapshot.h and
// postgres_snapshot.h fill it, each store in one pass; then it is loaded group by group.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "reconcile/held_fields.h"
#include "reconcile/memory_plan.h"
#include "reconcile/row_columns.h"
#include "reconcile/scope.h"
#include "reconcile/snapshot.h"
#include "reconcile/spool.h"
#include "reconcile/supplies.h"
#include "reconcile/unreadable_records.h"
#include "wire/loot_event.h"

namespace huntd::reconcile {

// Sessions that are compared together: those of the buckets from `first` to `last`, and of these
// the ones whose hash modulo `slices` is `slice`.
struct Group {
  uint32_t first = 0;
  uint32_t last = limits::buckets - 1;
  uint32_t slice = 0;
  uint32_t slices = 1;

  // Whether half of the group is less than the group. It is not if one session is too large.
  bool can_split() const { return first < last || slices < slices_max; }
  // The two halves. REQUIRES: can_split().
  std::array<Group, 2> split() const;
  bool has(std::string_view hunter_id, std::string_view hunt_id) const;

  static constexpr uint32_t slices_max = 1U << 20;
};

// Is called with the number of keys, records or rows that are read.
using ReadSoFar = std::function<void(uint64_t count)>;

class Reading {
 public:
  // `file` and `findings` must outlive the reading.
  Reading(Scope scope, const MemoryPlan& plan, TempFile& file, Findings& findings);

  const Scope& scope() const { return scope_; }
  Findings& findings() { return findings_; }
  StoreFacts facts;
  Supplies supplies;
  UnreadableRecords unreadable;  // of the topic and of the outbox

  // What is not of the scope is ignored. The errors are those of the temporary file.
  Result<void> add_held(std::string_view hunter_id, std::string_view hunt_id,
                        std::span<const HeldField> fields);
  Result<void> add_row(std::string_view hunter_id, std::string_view hunt_id,
                       const RowColumns& columns);
  Result<void> add_waiting(std::string_view json);
  Result<void> add_unit(uint32_t supply, std::string_view event_id, bool pending);
  // Adds the event with this JSON, or what cannot be read.
  Result<void> add_value(std::string_view value, bool in_outbox, const RecordPlace& place);

  // Finds event_ids that belong to two events, and counts the units of supplies. Call it when every
  // store is read, before load().
  Result<std::vector<EventId>> check_ids();
  // Adds the sessions of the group to `snapshots`, which is empty; returns false if they need more
  // than `bytes_max`.
  Result<bool> load(const Group& group, size_t bytes_max, Snapshots& snapshots) const;
  // The number of records of all sessions, and of a group before it is sliced.
  uint64_t records() const { return sessions_.records(); }
  uint64_t records_of(const Group& group) const;
  // About how many bytes of records may be loaded at once into `bytes_max`.
  uint64_t record_bytes_of(const Group& group) const;

 private:
  Result<void> add_event(const LootEventView& event, bool in_outbox);
  Result<void> check_partition(uint32_t partition, std::vector<EventId>& shared);

  Scope scope_;
  Findings& findings_;
  size_t id_bytes_max_;  // of one partition of ids that is checked at once
  Spool sessions_;       // by bucket
  Spool ids_;            // IdentifiedEvent, by event_id
  Spool units_;          // SupplyUnit, by event_id
  std::array<uint64_t, limits::buckets> events_{};  // how many of the records are events
};

// Reads a value of an outbox entry or of a Kafka record as the aggregator does. The error says why
// the aggregator cannot count it either. The views are those of view_loot_event().
Result<LootEventView> view_countable_event(std::string_view value);
EventParts parts_of(const LootEventView& event, bool in_outbox, int64_t expired_before_ms);

}  // namespace huntd::reconcile
