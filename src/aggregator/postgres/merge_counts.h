// SPDX-License-Identifier: Apache-2.0
// The counts of one merge, for the metrics.
#pragma once
#include <cstdint>

namespace huntd::aggregator {

struct MergeCounts {
  uint64_t new_events = 0;    // counted for the first time
  uint64_t duplicates = 0;    // already in the table; those within the batch are not included
  uint64_t waiting = 0;       // events written to hunt_session_waiting
  uint64_t purged = 0;        // events of a purged season, dropped
  uint64_t dead_letters = 0;  // records written to the table loot_events_dead
  uint64_t rows_inserted = 0;
  uint64_t rows_updated = 0;
  uint64_t rows_lowered = 0;  // of those updated, the rows that have less loot than before
  uint64_t restarts = 0;      // because another aggregator inserted one of the rows

  MergeCounts& operator+=(const MergeCounts& more) {
    new_events += more.new_events;
    duplicates += more.duplicates;
    waiting += more.waiting;
    purged += more.purged;
    dead_letters += more.dead_letters;
    rows_inserted += more.rows_inserted;
    rows_updated += more.rows_updated;
    rows_lowered += more.rows_lowered;
    restarts += more.restarts;
    return *this;
  }
};

}  // namespace huntd::aggregator
