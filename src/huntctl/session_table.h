// SPDX-License-Identifier: Apache-2.0
// The tables of hunt-aggregator, as huntctl reads and changes them (docs/formats/hunt-session.md).
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "aggregator/sessions/session.h"
#include "base/result.h"
#include "drivers/pg_link.h"

namespace huntd::huntctl {

// Connects, and checks that the tables exist in a version that this huntctl can change.
Result<void> connect_tables(PgLink& postgres);

// One text, and one number, as a parameter: ($1)[1].
PgArray text_parameter(std::string_view text);
PgArray number_parameter(uint64_t number);

// Takes the merge lock until the end of the transaction: no merge counts meanwhile, or no one who
// raises a floor changes rows meanwhile. REQUIRES: a transaction is open.
Result<void> lock_merges(PgLink& postgres);
Result<void> lock_floors(PgLink& postgres);

struct TableRow {
  std::string hunter_id;
  std::string hunt_id;
  Result<aggregator::Session> session;  // the error says why the row cannot be read
};
// The rows of these hunters in a hunt.
Result<std::vector<TableRow>> rows_of(PgLink& postgres, std::string_view hunt_id,
                                      const std::vector<std::string>& hunter_ids);
// The rows after this one, by hunter_id and hunt_id, at most `rows_max`. With a hunt_id only those
// of that hunt.
Result<std::vector<TableRow>> rows_after(PgLink& postgres, std::string_view hunter_id,
                                         std::string_view hunt_id, std::string_view only_hunt,
                                         uint64_t rows_max);

// hunt_floor, by hunt_id.
Result<std::map<std::string, uint64_t>> read_hunt_floors(PgLink& postgres);

}  // namespace huntd::huntctl
