// A slice of the sessions that a merge changes, within the merge's transaction (materialize.h): so
// many that no statement is too large.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "aggregator/fold.h"
#include "aggregator/hours.h"
#include "aggregator/merge_counts.h"
#include "aggregator/pg_link.h"
#include "aggregator/session.h"
#include "protocol/loot_event.h"

namespace huntd {

using Sessions = std::span<const FoldedSession>;

// A row as it was when it was locked.
struct LockedRow {
  size_t session;  // its index among the batch's
  std::string loot;
  uint64_t seen_upto;
  std::string seen_beyond;
};

// Locks the rows of one slice that exist and adds them to `rows`.
Result<void> lock_rows(PgLink& postgres, Sessions sessions, size_t first,
                       std::vector<LockedRow>& rows);

// What one slice of the batch changes, once its rows are locked.
class MergeSlice {
 public:
  // `rows`: those of the slice's sessions that exist, ascending; their index counts from `first`.
  MergeSlice(PgLink& postgres, const Fold& fold, Sessions sessions, std::span<const LockedRow> rows,
             size_t first);

  // Events from before `forgotten_before_ms` may have been counted in rows that are deleted. False
  // where another aggregator inserted one of our rows.
  Result<bool> run(int64_t forgotten_before_ms);
  void add_to(Hours& hours) const;
  const MergeCounts& counts() const { return counts_; }
  const std::vector<DeadRecord>& unplaced() const { return unplaced_; }

 private:
  // One session of the batch on its way through the transaction.
  struct Work {
    FoldedSession folded;
    std::vector<SessionEvent> events;  // the batch's, then those that waited beside the row
    size_t waited = 0;                 // how many of them waited
    Session session;
    bool exists = false;
    SessionChange change;
  };
  struct RowColumns;
  Result<void> fetch_waiting();
  void set_aside_forgotten(int64_t before_ms);
  void apply_events();
  Result<bool> insert_rows();
  Result<uint64_t> insert_few(const std::vector<const Work*>& fresh);
  Result<uint64_t> copy_many(const std::vector<const Work*>& fresh);
  Result<void> update_rows();
  Result<void> file_waiting();
  void bury(const Work& work, const SessionEvent& event, const std::string& reason);

  PgLink& postgres_;
  Sessions sessions_;
  std::vector<Work> works_;           // one for each session
  std::vector<LootEvent> waited_;     // the events that works_ have from beside their rows
  std::vector<DeadRecord> unplaced_;  // events whose row can't be read
  MergeCounts counts_;
};

}  // namespace huntd
