// SPDX-License-Identifier: Apache-2.0
// Merges a batch into PostgreSQL. The result is exact with duplicates, late events, any order, any
// split into batches, and any number of aggregators at the same time
// (docs/formats/hunt-session.md).
//
// A batch is merged in parts, each a range of its sessions in key order and a transaction of its
// own, so that no transaction and no statement becomes too large or takes too long. The same event
// merged again changes nothing: so a merge that fails after some parts is simply repeated. Of a
// part:
//
//   1. share the merge lock and read what must not be counted (merge_rules.h), then lock and read
//      the rows that exist, in ascending key order
//   2. add the events (sessions/session.h)
//   3. insert the rows that do not exist, in key order; if another aggregator has inserted one of
//      them in the meantime, roll back and restart at step 1
//   4. update the other rows, write waiting events, add to the counts per hour and per supply and
//      to the leaders, commit
//
// There is no deadlock: step 1 waits only in key order; step 3 waits only in key order, and only
// for transactions that have completed step 1; the counts per hour, those per supply and the
// entries of the leaders are last and in key order, and after them a transaction waits for no lock.
//
// If PostgreSQL rejects a part for its data (a constraint, a trigger, a text that it cannot store),
// the part is halved until one session is left: its events become dead letters, and all others are
// merged. Dead letters are written when all parts are merged.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "aggregator/postgres/merge_counts.h"
#include "aggregator/postgres/merge_pace.h"
#include "aggregator/sessions/batch.h"
#include "base/result.h"
#include "drivers/pg_link.h"

namespace huntd::aggregator {

// Where a merge puts dead letters.
enum class DeadLetterTarget {
  table,   // into loot_events_dead
  caller,  // nowhere: the caller stores Batch::dead_letters() and Merged::dead_letters
};

struct Merged {
  MergeCounts counts;
  std::vector<DeadLetter>
      dead_letters;  // events that the merge rejected; empty if the target is `table`
};

// Merges `batch`. `source` is the name of the source, for the column loot_events_dead.source. After
// an error some of its events may be counted, and the caller merges the same batch again, or lets
// the source deliver it again. `pace` is kept from merge to merge. REQUIRES: `postgres` is
// connected.
Result<Merged> materialize(PgLink& postgres, const Batch& batch, const std::string& source,
                           DeadLetterTarget dead_letter_target, MergePace& pace);

}  // namespace huntd::aggregator
