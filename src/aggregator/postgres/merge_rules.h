// SPDX-License-Identifier: Apache-2.0
// What a merge must not count, read at its start under the merge lock (sessions/merge_lock.h).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "aggregator/sessions/batch.h"
#include "base/result.h"
#include "drivers/pg_link.h"

namespace huntd::aggregator {

// The purged generations of the hunts and hunters of a batch: hunt_floor and hunter_floor.
class Floors {
 public:
  bool empty() const { return hunts_.empty() && hunters_.empty(); }
  // Events of this hunter in this hunt up to this generation are of a purged season. Nothing if no
  // season was purged.
  std::optional<uint64_t> of(std::string_view hunter_id, std::string_view hunt_id) const;

  Result<void> read_hunts(PgLink& postgres, Sessions sessions);
  Result<void> read_hunters(PgLink& postgres, Sessions sessions);

 private:
  using ById = std::map<std::string, uint64_t, std::less<>>;
  static void add(const PgRows& rows, ById& floors);

  ById hunts_;
  ById hunters_;
};

struct MergeRules {
  // Rows up to this time may have been deleted, in ms since the Unix epoch; 0: none was.
  int64_t expired_before_ms = 0;
  Floors floors;
};

// Takes the merge lock shared until the end of the transaction, and reads the rules for `sessions`.
// An error if the schema is newer than this program, which would not write what it requires.
// REQUIRES: a transaction is open.
Result<MergeRules> lock_merge_rules(PgLink& postgres, Sessions sessions);

}  // namespace huntd::aggregator
