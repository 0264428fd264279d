// SPDX-License-Identifier: Apache-2.0
// Merges a batch into PostgreSQL in one transaction. The result is exact with duplicates, late
// events, any order, any split into batches, and any number of aggregators at the same time
// (docs/formats/hunt-session.md).
//
//   1. share the merge lock and read what must not be counted (merge_rules.h), then lock and read
//      the rows that exist, in ascending key order
//   2. add the events (sessions/session.h)
//   3. insert the rows that do not exist, in key order; if another aggregator has inserted one of
//      them in the meantime, roll back and restart at step 1
//   4. update the other rows, write waiting events and dead letters, add to the counts per hour and
//      per supply, commit
//
// Step 1 covers all sessions before step 2 starts. Each step works on slices of the sessions, so
// that no statement becomes too large. There is no deadlock: step 1 waits only in key order; step 3
// waits only in key order, and only for transactions that have completed step 1; the counts per
// hour, then those per supply, are last and in key order, and after them a transaction waits for no
// lock.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "aggregator/postgres/merge_counts.h"
#include "aggregator/sessions/batch.h"
#include "base/result.h"
#include "drivers/pg_link.h"

namespace huntd::aggregator {

// Where a merge puts dead letters.
enum class DeadLetterTarget {
  table,   // into loot_events_dead, in the same transaction
  caller,  // nowhere: the caller stores Batch::dead_letters() and Merged::dead_letters
};

struct Merged {
  MergeCounts counts;
  std::vector<DeadLetter>
      dead_letters;  // events that the merge rejected; empty if the target is `table`
};

// Merges `batch`. `source` is the name of the source, for the column loot_events_dead.source. After
// an error the tables are unchanged, unless the error is that of the COMMIT; in both cases the
// caller may merge the same batch again. REQUIRES: `postgres` is connected.
Result<Merged> materialize(PgLink& postgres, const Batch& batch, const std::string& source,
                           DeadLetterTarget dead_letter_target);

}  // namespace huntd::aggregator
