// SPDX-License-Identifier: Apache-2.0
// The walks of `huntctl restore`, which adds to Redis what the tables have counted and Redis has
// lost (decision 30). A walk that is repeated changes nothing more.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "drivers/pg_link.h"
#include "drivers/redis_client.h"
#include "huntctl/name_list.h"
#include "huntctl/progress.h"
#include "huntctl/restore_plan.h"
#include "huntctl/session_table.h"

namespace huntd::huntctl {

inline constexpr size_t restore_listed_max = 50;  // sessions that a report names

struct RestoreCounts {
  uint64_t rows = 0;      // that were looked at
  uint64_t sessions = 0;  // one hunter in one hunt
  uint64_t loot = 0;
  uint64_t supplies = 0;
  uint64_t units = 0;   // of supplies
  uint64_t floors = 0;  // of purged hunts
  // "hunter ann in hunt forest: REASON"
  NameList later{restore_listed_max};    // the table has not counted everything yet
  NameList differs{restore_listed_max};  // not by a loss

  bool nothing() const { return sessions + supplies + floors == 0; }
};

class Restore {
 public:
  // With a `hunt_id` only that hunt.
  Restore(RedisClient& redis, PgLink& postgres, std::string hunt_id)
      : redis_(redis), postgres_(postgres), hunt_id_(std::move(hunt_id)) {}

  // The number of rows that a walk looks at.
  Result<uint64_t> rows();
  // Walks over floors, supplies and rows, in pages. With `apply` it restores; otherwise it counts
  // what it would restore.
  Result<RestoreCounts> walk(bool apply, Progress& progress);

 private:
  Result<void> walk_floors(bool apply);
  Result<void> walk_supplies(bool apply);
  Result<void> walk_rows(bool apply, Progress& progress);
  Result<void> page(const std::vector<TableRow>& rows, bool apply);
  void count(const TableRow& row, const RestorePlan& plan);

  RedisClient& redis_;
  PgLink& postgres_;
  std::string hunt_id_;
  std::map<std::string, uint64_t> floors_;
  RestoreCounts counts_;
};

}  // namespace huntd::huntctl
