// SPDX-License-Identifier: Apache-2.0
// The steps of `huntctl hunt purge` (decision 30), which ends a season of a hunt. Each may be
// interrupted and repeated.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "drivers/pg_link.h"
#include "drivers/redis_client.h"
#include "huntctl/name_list.h"
#include "huntctl/progress.h"
#include "wire/generation.h"

namespace huntd::huntctl {

// What there is of a hunt, and what has not reached the table yet.
struct PurgeSurvey {
  // Redis
  uint64_t hunters = 0;
  int64_t loot = 0;  // below 0 if hunters owe more than they hold, as row_loot
  uint64_t responses = 0;
  uint64_t supplies = 0;
  uint64_t newest_generation = 0;  // also of the rows
  // PostgreSQL
  uint64_t rows = 0;
  int64_t row_loot = 0;
  uint64_t archived = 0;           // rows of earlier seasons
  uint64_t floor = 0;              // hunt_floor
  bool rows_have_expired = false;  // aggregator.retention_days has deleted rows of the hunt

  uint64_t outbox_events = 0;
  NameList uncounted;    // hunters with loot that the table has not counted
  NameList unreadable;   // hunters whose hash or row cannot be read
  uint64_t expired = 0;  // hunters without a row, of a hunt whose rows have expired

  bool empty() const { return hunters + responses + supplies + rows + outbox_events == 0; }
};

// Reads everything in pages; needs no memory by the number of hunters.
Result<PurgeSurvey> survey_hunt(RedisClient& redis, PgLink& postgres, std::string_view hunt_id,
                                Progress& progress);

// Why the purge would lose something if it went on now; empty if it may go on. `closed_for_ms` must
// be at least `settle_ms`, after which no core commits in the hunt. With `incomplete` the table may
// lack events.
std::vector<std::string> reasons_to_wait(const PurgeSurvey& survey, const HuntState& state,
                                         int64_t now_ms, int64_t settle_ms, bool incomplete);

// Raises the floor of the hunt, and archives its rows or deletes them with everything else that
// the tables have of it, in one transaction.
Result<void> purge_tables(PgLink& postgres, std::string_view hunt_id, uint64_t floor,
                          bool delete_rows);

// Deletes the hunt's keys, but for hashes of a generation above `floor`. Returns how many there
// were.
Result<uint64_t> purge_keys(RedisClient& redis, std::string_view hunt_id, uint64_t floor,
                            Progress& progress);

}  // namespace huntd::huntctl
