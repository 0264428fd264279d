// Latencies as HdrHistogram lays them out: cells that are 64 ns wide at first, and twice as wide
// each time the value doubles past 131 µs, so that every value from there on is kept to three
// significant digits (below it, to 64 ns). The same arithmetic as HdrHistogram with lowest
// discernible value 64, highest trackable value 137'438'953'471 and 3 significant digits
// (hdrhistogram.org), so its tools read what hlog.h writes.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "stats/shared_word.h"

namespace huntd {

// Where a value belongs: pure arithmetic, all values in ns.
struct HistogramLayout {
  static constexpr unsigned significant_digits = 3;
  static constexpr unsigned unit_magnitude = 6;         // the first cells are 2^6 ns wide
  static constexpr unsigned half_count_magnitude = 10;  // 2^10 cells to a doubling
  static constexpr uint64_t lowest_ns = uint64_t{1} << unit_magnitude;
  static constexpr unsigned doublings = 20;
  static constexpr size_t half_count = size_t{1} << half_count_magnitude;
  static constexpr size_t cells = (doublings + 2) * half_count;
  static constexpr uint64_t highest_ns =
      (uint64_t{1} << (unit_magnitude + half_count_magnitude + 1 + doublings)) - 1;

  // The cell of a value; what is above highest_ns counts as highest_ns.
  static constexpr size_t index_of(uint64_t value_ns) {
    if (value_ns > highest_ns) value_ns = highest_ns;
    constexpr uint64_t first_range =
        (uint64_t{1} << (unit_magnitude + half_count_magnitude + 1)) - 1;
    unsigned const width = static_cast<unsigned>(std::bit_width(value_ns | first_range));
    unsigned const doubling = width - (unit_magnitude + half_count_magnitude + 1);
    return (size_t{doubling} << half_count_magnitude) + (value_ns >> (doubling + unit_magnitude));
  }
  // The least value of a cell.
  static constexpr uint64_t lowest_of(size_t index) {
    size_t const doubling = index < 2 * half_count ? 0 : (index >> half_count_magnitude) - 1;
    return static_cast<uint64_t>(index - (doubling << half_count_magnitude))
           << (doubling + unit_magnitude);
  }
  // The greatest value of a cell.
  static constexpr uint64_t highest_of(size_t index) { return lowest_of(index + 1) - 1; }
};

static_assert(HistogramLayout::index_of(HistogramLayout::highest_ns) == HistogramLayout::cells - 1);
static_assert(HistogramLayout::highest_ns > 120'000'000'000);

// One copied histogram, or several added up.
class HistogramSnapshot {
 public:
  HistogramSnapshot() = default;
  // `counts` per cell from cell 0 on, at most HistogramLayout::cells; cells past its end are empty.
  HistogramSnapshot(std::vector<uint64_t> counts, uint64_t sum_ns);

  uint64_t count() const { return count_; }
  uint64_t sum_ns() const { return sum_ns_; }
  double mean_ns() const;  // 0 where nothing was recorded
  uint64_t max_ns() const;
  // The value that `percent` (0 to 100) of the recorded values are at or below: the upper end of
  // its cell, as HdrHistogram's getValueAtPercentile gives it; 0 where nothing was recorded.
  uint64_t percentile_ns(double percent) const;
  // How many values are in the cells up to and with that of `bound_ns`.
  uint64_t count_up_to(uint64_t bound_ns) const;
  void merge(const HistogramSnapshot& other);
  // Per cell, without the empty cells at the end.
  const std::vector<uint64_t>& counts() const { return counts_; }

 private:
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  uint64_t sum_ns_ = 0;
};

// The live one, in shared memory: one process records, any number read. Zeroed memory is an empty
// histogram.
class Histogram {
 public:
  // No allocation, no lock, no branch on what is already there but for the top cell.
  void record(uint64_t value_ns) {
    // A clock reading that came from outside may be anything: it must not ruin the sum either.
    if (value_ns > HistogramLayout::highest_ns) value_ns = HistogramLayout::highest_ns;
    size_t const index = HistogramLayout::index_of(value_ns);
    counts_[index].add(1);
    sum_ns_.add(value_ns);
    if (index > top_index_.load()) top_index_.store(index);
  }
  // A copy made while the writer goes on: it may miss the newest values, it never invents one.
  HistogramSnapshot snapshot() const;

 private:
  SharedWord sum_ns_;
  SharedWord top_index_;  // the highest cell used, so that a reader need not look further
  std::array<SharedWord, HistogramLayout::cells> counts_;
};

}  // namespace huntd
