// SPDX-License-Identifier: Apache-2.0
#include "metrics/histogram.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace huntd {

HistogramSnapshot::HistogramSnapshot(std::vector<uint64_t> counts, uint64_t sum_ns)
    : counts_(std::move(counts)), sum_ns_(sum_ns) {
  CHECK(counts_.size() <= HistogramLayout::cells);
  while (!counts_.empty() && counts_.back() == 0) counts_.pop_back();
  for (uint64_t const n : counts_) count_ += n;
}

double HistogramSnapshot::mean_ns() const {
  return count_ == 0 ? 0 : static_cast<double>(sum_ns_) / static_cast<double>(count_);
}

uint64_t HistogramSnapshot::max_ns() const {
  return counts_.empty() ? 0 : HistogramLayout::highest_of(counts_.size() - 1);
}

uint64_t HistogramSnapshot::percentile_ns(double percent) const {
  if (count_ == 0) return 0;
  double const wanted =
      std::ceil(std::clamp(percent, 0.0, 100.0) * static_cast<double>(count_) / 100);
  uint64_t const rank = std::max<uint64_t>(1, static_cast<uint64_t>(wanted));
  uint64_t passed = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    passed += counts_[i];
    if (passed >= rank) return HistogramLayout::highest_of(i);
  }
  return max_ns();
}

uint64_t HistogramSnapshot::count_up_to(uint64_t bound_ns) const {
  size_t const end = std::min(counts_.size(), HistogramLayout::index_of(bound_ns) + 1);
  uint64_t passed = 0;
  for (size_t i = 0; i < end; ++i) passed += counts_[i];
  return passed;
}

void HistogramSnapshot::merge(const HistogramSnapshot& other) {
  if (other.counts_.size() > counts_.size()) counts_.resize(other.counts_.size());
  for (size_t i = 0; i < other.counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ns_ += other.sum_ns_;
}

HistogramSnapshot Histogram::snapshot() const {
  // The sum first: a value recorded meanwhile can then only be in the counts and not in the sum,
  // never make the mean of few values jump.
  uint64_t const sum_ns = sum_ns_.load();
  size_t const end = std::min<size_t>(top_index_.load() + 1, HistogramLayout::cells);
  std::vector<uint64_t> counts(end);
  for (size_t i = 0; i < end; ++i) counts[i] = counts_[i].load();
  return {std::move(counts), sum_ns};
}

}  // namespace huntd
