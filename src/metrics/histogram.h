// SPDX-License-Identifier: Apache-2.0
// Latency histograms with the layout of HdrHistogram. Cells are 64 ns wide up to 131 µs; above
// that the width doubles each time the value doubles, so that values have three significant digits.
// The arithmetic is that of HdrHistogram (hdrhistogram.org) with lowest discernible value 64,
// highest trackable value 137'438'953'471 and 3 significant digits, so its tools can read
// /latency.hlog.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "metrics/shared_word.h"

namespace huntd {

// Maps values to cells: pure arithmetic, all values in ns.
struct HistogramLayout {
  static constexpr unsigned significant_digits = 3;
  static constexpr unsigned unit_magnitude = 6;         // the first cells are 2^6 ns wide
  static constexpr unsigned half_count_magnitude = 10;  // 2^10 cells per doubling
  static constexpr uint64_t lowest_ns = uint64_t{1} << unit_magnitude;
  static constexpr unsigned doublings = 20;
  static constexpr size_t half_count = size_t{1} << half_count_magnitude;
  static constexpr size_t cells = (doublings + 2) * half_count;
  static constexpr uint64_t highest_ns =
      (uint64_t{1} << (unit_magnitude + half_count_magnitude + 1 + doublings)) - 1;

  // The cell of a value. A value above highest_ns counts as highest_ns.
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

// A copy of one histogram, or the sum of several.
class HistogramSnapshot {
 public:
  HistogramSnapshot() = default;
  // `counts` per cell, from cell 0; at most HistogramLayout::cells. The other cells are empty.
  HistogramSnapshot(std::vector<uint64_t> counts, uint64_t sum_ns);

  uint64_t count() const { return count_; }
  uint64_t sum_ns() const { return sum_ns_; }
  double mean_ns() const;  // 0 if it is empty
  uint64_t max_ns() const;
  // The value that `percent` (0 to 100) of the values do not exceed: the upper end of its cell, as
  // getValueAtPercentile of HdrHistogram returns it. 0 if the histogram is empty.
  uint64_t percentile_ns(double percent) const;
  // The number of values in the cells up to and including the cell of `bound_ns`.
  uint64_t count_up_to(uint64_t bound_ns) const;
  void merge(const HistogramSnapshot& other);
  // The counts per cell, without the empty cells at the end.
  const std::vector<uint64_t>& counts() const { return counts_; }

 private:
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  uint64_t sum_ns_ = 0;
};

// A histogram in shared memory: one process records, any number of processes read. Zeroed memory is
// an empty histogram.
class Histogram {
 public:
  // No allocation and no lock.
  void record(uint64_t value_ns) {
    // A wrong clock reading must not spoil the sum.
    if (value_ns > HistogramLayout::highest_ns) value_ns = HistogramLayout::highest_ns;
    size_t const index = HistogramLayout::index_of(value_ns);
    counts_[index].add(1);
    sum_ns_.add(value_ns);
    if (index > top_index_.load()) top_index_.store(index);
  }
  // A copy made while the writer records: it may lack the newest values.
  HistogramSnapshot snapshot() const;

 private:
  SharedWord sum_ns_;
  SharedWord top_index_;  // the highest cell in use: readers stop there
  std::array<SharedWord, HistogramLayout::cells> counts_;
};

}  // namespace huntd
