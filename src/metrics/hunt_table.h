// SPDX-License-Identifier: Apache-2.0
// Counters and durations of single hunts, in shared memory: a core writes its own table, the admin
// process reads all of them. A table has limits::hunts_counted_max slots, each for one hunt; all
// other hunts count together (decision 45).
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "metrics/shared_word.h"

namespace huntd {

// What became of a request for a hunt, in three classes; hunt_outcome_of() in core_metrics.h has
// the class of each outcome.
enum class HuntOutcome : uint8_t {
  ok,       // 200
  failed,   // the script, its worker or a store failed
  refused,  // it could have run: huntd or the script decided against an award
};
inline constexpr std::array<std::string_view, 3> hunt_outcome_names = {"ok", "failed", "refused"};
static_assert(static_cast<size_t>(HuntOutcome::refused) + 1 == hunt_outcome_names.size());

// The cells of a hunt's durations: twenty per decade, by the preferred numbers R20 of ISO 3, from
// 10 µs to 100 s. So the bounds of Prometheus' buckets (1, 2.5 and 5 of a decade) are bounds of
// cells, and a percentile is at most 15 % above the true one.
struct HuntDurationLayout {
  static constexpr std::array<uint64_t, 20> steps = {100, 112, 125, 140, 160, 180, 200,
                                                     224, 250, 280, 315, 355, 400, 450,
                                                     500, 560, 630, 710, 800, 900};
  static constexpr size_t decades = 7;
  // The greatest value of each cell but the last one, which has all greater values.
  static constexpr std::array<uint64_t, decades * steps.size() + 1> bounds_ns = [] {
    std::array<uint64_t, decades * steps.size() + 1> bounds{};
    uint64_t scale = 100;  // so that steps[0] is 10 µs
    for (size_t decade = 0; decade < decades; ++decade, scale *= 10)
      for (size_t step = 0; step < steps.size(); ++step)
        bounds[decade * steps.size() + step] = steps[step] * scale;
    bounds.back() = steps[0] * scale;
    return bounds;
  }();
  static constexpr size_t cells = bounds_ns.size() + 1;

  static constexpr size_t index_of(uint64_t value_ns) {
    return static_cast<size_t>(std::lower_bound(bounds_ns.begin(), bounds_ns.end(), value_ns) -
                               bounds_ns.begin());
  }
};
static_assert(HuntDurationLayout::bounds_ns.front() == 10'000);
static_assert(HuntDurationLayout::bounds_ns.back() == 100'000'000'000);

// A copy of the figures of one hunt, or the sum of several.
struct HuntFigures {
  std::string hunt_id;                                         // empty: of several hunts
  std::array<uint64_t, hunt_outcome_names.size()> outcomes{};  // requests, by HuntOutcome
  uint64_t sum_ns = 0;                                         // of the durations
  std::array<uint64_t, HuntDurationLayout::cells> durations{};

  uint64_t of(HuntOutcome outcome) const { return outcomes[static_cast<size_t>(outcome)]; }
  // All requests.
  uint64_t runs() const;
  // The requests that have a duration: those that got a worker.
  uint64_t timed() const;
  // The duration that `percent` (0 to 100) of the runs do not exceed: the greatest value of its
  // cell, at most the last bound. 0 if no run has a duration.
  uint64_t percentile_ns(double percent) const;
  // The number of durations up to `bound_ns`. REQUIRES: it is one of the bounds of the cells.
  uint64_t timed_up_to(uint64_t bound_ns) const;
  // Adds the numbers of `others`, not their name.
  void merge(const HuntFigures& others);
};

// A copy of one core's table.
struct HuntTableSnapshot {
  std::vector<HuntFigures> hunts;  // in no order
  HuntFigures other;               // runs of hunts that had no slot: never decreases
  HuntFigures replaced;            // what hunts had counted that have lost their slot since
};

// One process writes, any number of processes read. Zeroed memory is an empty table.
class HuntTable {
 public:
  static constexpr size_t slots = limits::hunts_counted_max;
  static constexpr size_t other = slots;  // the row of all hunts without a slot

  // How many slots have a hunt: the first ones.
  size_t used() const { return std::min<size_t>(used_.load(), slots); }
  // The hunt of a slot. REQUIRES: slot < used().
  std::string hunt_of(size_t slot) const;

  // The rest is for the writer.

  // Counts one request. `row` is a slot in use, or `other`. No allocation, no lock.
  void count(size_t row, HuntOutcome outcome) {
    rows_[row].outcomes[static_cast<size_t>(outcome)].add(1);
  }
  // Counts how long one request took. `row` as above.
  void record(size_t row, uint64_t duration_ns) {
    rows_[row].durations[HuntDurationLayout::index_of(duration_ns)].add(1);
    rows_[row].sum_ns.add(std::min(duration_ns, HuntDurationLayout::bounds_ns.back()));
  }
  // Gives a slot to a hunt, which starts at 0. What the hunt before it had counted goes to
  // `replaced`. REQUIRES: slot <= used(), slot < slots, `hunt_id` is a valid id.
  void assign(size_t slot, std::string_view hunt_id);
  // Call it before the first use: a former writer may have died in assign(). Then no hunt has a
  // slot any more, and what they had counted is in `replaced`.
  void repair();

  // A copy made while the writer counts: it may lack the newest requests. Waits while a slot changes
  // its hunt.
  HuntTableSnapshot snapshot() const;

 private:
  struct Row {
    std::array<SharedWord, limits::id_bytes_max / sizeof(uint64_t)> hunt_id;  // then zero bytes
    std::array<SharedWord, hunt_outcome_names.size()> outcomes;
    SharedWord sum_ns;
    std::array<SharedWord, HuntDurationLayout::cells> durations;
  };
  static constexpr size_t replaced = slots + 1;

  void start_change();
  void end_change();
  void move_to_replaced(Row& row);
  HuntFigures copy_row(const Row& row) const;
  HuntTableSnapshot copy_rows() const;

  SharedWord version_;  // odd while a slot changes its hunt: readers retry (a seqlock)
  SharedWord used_;
  std::array<Row, slots + 2> rows_;
};

}  // namespace huntd
