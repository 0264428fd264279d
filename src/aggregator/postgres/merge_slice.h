// SPDX-License-Identifier: Apache-2.0
// A slice of a batch's sessions, in a transaction of its own (materialize.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "aggregator/postgres/hourly_counts.h"
#include "aggregator/postgres/leaders.h"
#include "aggregator/postgres/merge_counts.h"
#include "aggregator/postgres/merge_rules.h"
#include "aggregator/postgres/session_row.h"
#include "aggregator/postgres/supply_counts.h"
#include "aggregator/sessions/batch.h"
#include "aggregator/sessions/session.h"
#include "drivers/pg_link.h"
#include "wire/loot_event.h"

namespace huntd::aggregator {

// A row as it was when it was locked.
struct LockedRow {
  size_t session;  // index among the slice's sessions
  std::string loot;
  uint64_t seen_upto;
  std::string seen_beyond;
  uint64_t generation;
  std::string past;  // empty: NULL
  uint64_t forgotten_generation;
  uint64_t added;
  uint64_t taken;

  size_t bytes() const { return loot.size() + seen_beyond.size() + past.size(); }
};

// Locks the existing rows of a slice and reads them, ascending.
Result<std::vector<LockedRow>> lock_rows(PgLink& postgres, Sessions sessions);

// The events of one session as dead letters, with this reason.
std::vector<DeadLetter> dead_letters_of(const Batch& batch, const BatchSession& session,
                                        const std::string& reason);

class MergeSlice {
 public:
  // `rows` are the existing rows of `sessions`, ascending and locked. `batch` and `rules` must
  // outlive the slice.
  MergeSlice(PgLink& postgres, const Batch& batch, Sessions sessions,
             std::span<const LockedRow> rows, const MergeRules& rules);

  // Adds the events and writes the rows. Drops events of purged seasons. Rejects events that may
  // have been counted before: in a row that has expired, or in a generation that the row has
  // dropped. Returns false if another aggregator inserted one of the rows; the transaction has then
  // failed.
  Result<bool> merge();
  void add_to(HourlyCounts& hourly_counts, SupplyCounts& supply_counts) const;
  void add_to(Leaders& leaders) const;
  const MergeCounts& counts() const { return counts_; }
  // The events that merge() rejected.
  const std::vector<DeadLetter>& dead_letters() const { return dead_letters_; }

 private:
  // One session of the slice.
  struct Work {
    std::string_view hunter_id;
    std::string_view hunt_id;
    std::vector<SessionEvent> events;  // those of the batch, then those from hunt_session_waiting
    size_t waited = 0;                 // number of events from hunt_session_waiting
    Session session;
    bool exists = false;
    int64_t loot_count_before = 0;  // of a row that exists
    SessionChange change;

    SessionRow row() const { return {hunter_id, hunt_id, session, change}; }
  };
  // hunter_id, hunt_id, generation and seq of events, as parameters.
  struct EventKeys;

  void drop_purged(Work& work);
  void read_row(Work& work, const LockedRow& row);
  Result<void> fetch_waiting();
  void reject_expired();
  void apply_events();
  void reject_of_dropped(const Work& work);
  Result<bool> insert_rows();
  Result<uint64_t> insert_few(const std::vector<const Work*>& new_rows);
  Result<uint64_t> copy_many(const std::vector<const Work*>& new_rows);
  Result<void> update_rows();
  Result<void> write_waiting();
  Result<void> delete_waiting(const EventKeys& keys);
  void reject(const Work& work, const SessionEvent& event, const std::string& reason);

  PgLink& postgres_;
  const MergeRules& rules_;
  Sessions sessions_;
  std::vector<Work> works_;  // one per session
  std::vector<LootEvent>
      waited_;  // events from hunt_session_waiting; works_ has views of their texts
  std::vector<DeadLetter> dead_letters_;
  MergeCounts counts_;
};

}  // namespace huntd::aggregator
