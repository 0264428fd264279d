// SPDX-License-Identifier: Apache-2.0
// How often each loot was awarded, and what is left of supplies, in shared memory (decision 71): one
// core counts, any number of processes read. Bounded: limits::loots_counted_max rows, each for a
// loot of a hunt. A loot without a row takes that of the loot among a few which was awarded last the
// longest time ago; what that had counted is given up, and its sum is shown.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "metrics/shared_text.h"
#include "metrics/shared_word.h"

namespace huntd {

// A copy of a row.
struct LootRow {
  std::string hunt_id;
  std::string loot_id;
  uint64_t awards = 0;  // runs' awards of it, each of one unit or more, since huntd started
  uint64_t units = 0;
  std::optional<uint64_t> limit;  // of a supply: that of the newest draw
  std::optional<uint64_t> left;   // units, at `left_at_ms`
  int64_t left_at_ms = 0;         // since 1970
};

// Zeroed memory is an empty table.
class LootTable {
 public:
  // The rest of this group is for the core. No allocation, no lock. REQUIRES: valid ids.
  // Counts an award of `units`, 1 or more.
  void count(std::string_view hunt_id, std::string_view loot_id, uint64_t units, int64_t now_ms);
  // A script has drawn on a supply of `limit` units.
  void note_supply(std::string_view hunt_id, std::string_view loot_id, uint64_t limit,
                   int64_t now_ms);
  // The next row from `from` on that has a supply, its hunt, loot and limit; nothing: none is left.
  struct SupplyAt {
    size_t row;
    LootRow copy;
  };
  std::optional<SupplyAt> next_supply(size_t from) const;
  // What is left of it, unless the row has another loot by now.
  void set_left(const SupplyAt& supply, uint64_t left, int64_t now_ms);

  // A copy, in no order. Any process.
  std::vector<LootRow> rows() const;
  // Awards of loots that lost their row.
  uint64_t no_room() const { return no_room_.load(); }

 private:
  struct Row {
    SharedWord hash;  // of hunt and loot; 0: free, or the row changes its loot
    SharedWord awards;
    SharedWord units;
    SharedWord limit;  // + 1; 0: no supply
    SharedWord left;   // + 1; 0: not known
    SharedWord left_at_ms;
    SharedWord last_ms;
    SharedText<2 * limits::id_bytes_max + 8> name;  // "HUNT LOOT"
  };
  Row& row_of(std::string_view hunt_id, std::string_view loot_id);
  static bool copy_row(const Row& row, LootRow& copy);

  SharedWord no_room_;
  std::array<Row, limits::loots_counted_max> rows_;
};

}  // namespace huntd
