// SPDX-License-Identifier: Apache-2.0
// Deletes expired rows of hunt_session, whose newest loot is older than aggregator.retention_days.
// Works in pages of the primary key, so that no merge waits for long.
//
// A deleted row loses its seen sets, so a repeated event would be counted again. Therefore the
// column expired_before of the table hunt_retention is raised first and never lowered, and no event
// older than it is counted (merge_rules.h). Raising the column takes the merge lock exclusively.
//
// The column follows the time of the data: it is never later than `days` before the newest event
// that is counted, the clock of PostgreSQL and the clock of this host. A wrong clock would else
// make later events expired for good. If the clocks are more than a day ahead of all that is known
// (the last walk, and events that were counted since), it is not raised, and an error is logged.
#pragma once
#include <cstdint>
#include <string>

#include "base/result.h"
#include "drivers/pg_link.h"

namespace huntd::aggregator {

class Retention {
 public:
  // If `days` is 0, no row is deleted.
  explicit Retention(uint32_t days) : days_(days) {}

  bool due(int64_t steady_now_ms) const {
    return (days_ > 0 || refills_) && steady_now_ms >= next_at_ms_;
  }
  // A merge has lowered rows: leaders are looked for soon, at most once per retention_every_ms.
  void rows_were_lowered() { refills_ = refills_ || days_ == 0; }
  // Raises expired_before, or deletes the expired rows of one page, or finds the leaders again
  // after that; returns the number of rows deleted. Skips locked rows, which the next walk finds.
  // Deletes nothing while another program holds the merge lock exclusively. After an error the walk
  // restarts later. An error, too, if the schema is newer than this program.
  Result<uint64_t> step(PgLink& postgres, int64_t wall_now_ms, int64_t steady_now_ms);

 private:
  enum class Raised {
    raised,
    busy,    // a merge holds the lock
    doubted  // the clocks are ahead of all that is known
  };
  Result<Raised> raise_expired_before(PgLink& postgres, int64_t wall_now_ms);
  Result<bool> start_walk(PgLink& postgres, int64_t wall_now_ms, int64_t steady_now_ms);
  Result<uint64_t> delete_page(PgLink& postgres);

  uint32_t days_;
  int64_t next_at_ms_ = 0;
  bool walking_ = false;
  // A walk has ended, or rows were lowered, and leaders were not looked for since.
  bool refills_ = false;
  int64_t doubted_since_ms_ = 0;
  std::string after_hunter_;  // last key of the previous page
  std::string after_hunt_;
};

}  // namespace huntd::aggregator
