// What one merge has done, as the metrics count it.
#pragma once
#include <cstdint>

namespace huntd {

struct MergeCounts {
  uint64_t fresh = 0;  // events counted for the first time
  uint64_t duplicates =
      0;                 // events that the table had already (those within the batch not included)
  uint64_t waiting = 0;  // events set down in hunt_session_waiting
  uint64_t dead = 0;     // records set down in the table loot_events_dead
  uint64_t rows_inserted = 0;
  uint64_t rows_updated = 0;
  uint64_t restarts = 0;  // times another aggregator's insert made it begin again

  MergeCounts& operator+=(const MergeCounts& more) {
    fresh += more.fresh;
    duplicates += more.duplicates;
    waiting += more.waiting;
    dead += more.dead;
    rows_inserted += more.rows_inserted;
    rows_updated += more.rows_updated;
    restarts += more.restarts;
    return *this;
  }
};

}  // namespace huntd
