// SPDX-License-Identifier: Apache-2.0
// Keeps the tables behind the view hunt_leaderboard: who is among the first of each hunt.
//
// hunt_leader names hunters; what they hold is read from hunt_session, so a merge that only raises
// the count of a leader writes nothing here. hunt_leader_entry has a key (loot_count, last_loot_at,
// hunter_id) for each hunt with many hunters, the entry. Every committed row of hunt_session that
// is not below the entry belongs to a hunter in hunt_leader; without an entry, every row of the
// hunt does. So the view, which leaves out the leaders below the entry, is exact.
//
// A merge adds the hunters that have come to the entry, and raises the entry if the batch alone has
// enough that are better: those of the part that it writes, and those that its earlier parts have
// committed. The likely leaders are merged first, so that the entry is high before the many others
// come. An entry may be raised at any time. trim() deletes leaders that have
// fallen below it, with their rows in hunt_session locked, so that no merge changes these rows
// meanwhile; a merge reads the entries after it has locked its rows. refill() is for a hunt whose
// leaders were deleted by retention or huntctl, or have given loot away.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aggregator/sessions/batch.h"
#include "base/result.h"
#include "drivers/pg_link.h"

namespace huntd::aggregator {

// The place of a row of hunt_session among those of its hunt.
struct LeaderKey {
  int64_t loot_count = 0;
  int64_t last_loot_at_ms = 0;
  std::string hunter_id;

  // More loot is better, then an earlier last loot, then the smaller id.
  bool better_than(const LeaderKey& other) const;
};

// Keys of committed rows, by hunt: at most limits::leaders_kept of each hunt, in any order. A row
// that has lost loot since, or was deleted, raises the entry too far: then fewer leaders are shown,
// until refill_leaders().
using LeaderKeys = std::map<std::string, std::vector<LeaderKey>, std::less<>>;

class Leaders {
 public:
  // `committed`: what the earlier parts of the batch have written.
  explicit Leaders(const LeaderKeys& committed) : committed_(committed) {}

  // Reads the entries of the hunts of `sessions`. REQUIRES: the merge has locked its rows.
  Result<void> read_entries(PgLink& postgres, Sessions sessions);
  // A row that the merge writes. `loot_count_before` is nothing for a new row. The last_loot_at_ms
  // of an existing row may be earlier than that of the row.
  void add(std::string_view hunt_id, LeaderKey row, std::optional<int64_t> loot_count_before);
  // Writes leaders and entries. REQUIRES: the merge's transaction is open, and waits for no lock
  // after this.
  Result<void> write(PgLink& postgres);
  // The hunts to which write() has added leaders.
  std::vector<std::string> grown() const;
  // What the next part's `committed` has to be for the hunts of grown(), once this part's
  // transaction is committed.
  LeaderKeys take_best() && { return std::move(best_); }

 private:
  const LeaderKeys& committed_;
  std::map<std::string, LeaderKey, std::less<>> entries_;
  LeaderKeys found_;  // to add; no bound
  LeaderKeys best_;
};

// Reorders the sessions of a batch: first, for each hunt with many, the limits::leaders_kept that
// have the most events. Each of the two groups stays in ascending key order. Returns the size of
// the first.
size_t likely_leaders_first(std::vector<BatchSession>& sessions);

// Deletes the excess leaders of these hunts, in a transaction for each hunt that has too many.
Result<void> trim_leaders(PgLink& postgres, const std::vector<std::string>& hunts);

enum class Refilled {
  busy,    // a merge is under way: nothing was changed
  enough,  // no hunt has too few leaders
  done,
};
// Deletes leaders without a row, and looks all rows through for the leaders of hunts of which too few
// are shown. No merge starts meanwhile.
Result<Refilled> refill_leaders(PgLink& postgres);

}  // namespace huntd::aggregator
