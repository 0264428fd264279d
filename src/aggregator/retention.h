// Deletes rows of hunt_session whose newest loot is older than aggregator.retention_days, a page of
// the primary key at a time, so that no merge waits for long.
//
// A row that goes takes with it what it had seen, so an event of it that came again would count
// again. Therefore forgotten_before (table hunt_retention) is raised first and for good, and no
// event from before it is counted any more (materialize.h): each merge shares a lock from its
// beginning to its commit, and raising wants the lock alone.
#pragma once
#include <cstdint>
#include <string>

#include "aggregator/pg_link.h"
#include "base/result.h"

namespace huntd {

// Within a transaction: shares the lock to its end and returns forgotten_before, in ms since the
// epoch; 0 where nothing was ever deleted.
Result<int64_t> share_forgotten_before(PgLink& postgres);

class Retention {
 public:
  // 0 days: never due.
  explicit Retention(uint32_t days) : days_(days) {}

  bool due(int64_t steady_now_ms) const { return days_ > 0 && steady_now_ms >= next_at_ms_; }
  // Raises forgotten_before, or looks through one page. Returns how many rows it deleted. Passes
  // over a row that someone else holds: the next walk finds it. After an error the walk begins
  // again later.
  Result<uint64_t> step(PgLink& postgres, int64_t wall_now_ms, int64_t steady_now_ms);

 private:
  Result<bool> raise(PgLink& postgres, int64_t before_ms);
  Result<uint64_t> delete_page(PgLink& postgres);

  uint32_t days_;
  int64_t next_at_ms_ = 0;
  bool walking_ = false;
  std::string after_hunter_;  // the walk's place
  std::string after_hunt_;
};

}  // namespace huntd
