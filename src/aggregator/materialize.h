// A folded batch into Postgres: one transaction, exact under duplicates, late events, any order,
// any cut into batches, and any number of aggregators at once (docs/formats/hunt-session.md).
//
//   1. lock the rows that exist, in ascending key order, and read them
//   2. put the events in (session.h)
//   3. insert the rows that did not exist, in key order; if another aggregator inserted one of them
//      meanwhile, roll back and begin again at 1
//   4. update the others, file waiting and dead events, add to the hours, commit
//
// 1 goes over all sessions before 2 begins; each goes by slices, so that no statement is too large.
// Nobody waits for another in a circle: step 1 waits only in key order, step 3 only in key order
// and only for others that are past their step 1. The hours come last, in key order: who is there
// waits for nothing else any more.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "aggregator/fold.h"
#include "aggregator/merge_counts.h"
#include "aggregator/pg_link.h"
#include "base/result.h"

namespace huntd {

// Where records that can't be counted go.
enum class DeadGoTo {
  table,   // loot_events_dead, in the same transaction
  caller,  // Merged::unplaced, and those that the fold has set aside itself
};

struct Merged {
  MergeCounts counts;
  std::vector<DeadRecord> unplaced;  // DeadGoTo::caller: events whose row refused them
};

// Merges `fold` over a connected link. `source` names where the records came from ("outbox", or
// "kafka:TOPIC") in the table loot_events_dead. On an error nothing is in the table, unless the
// error came from the commit itself; merging the same batch again is right in both cases.
Result<Merged> materialize(PgLink& postgres, const Fold& fold, const std::string& source,
                           DeadGoTo dead_go_to);

}  // namespace huntd
