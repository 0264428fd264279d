// SPDX-License-Identifier: Apache-2.0
#include "metrics/histogram.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <random>

using huntd::Histogram;
using huntd::HistogramLayout;
using huntd::HistogramSnapshot;

namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
// As shared memory gives it: zero bytes, nothing constructed.
std::unique_ptr<Histogram, Free> zeroed_histogram() {
  return std::unique_ptr<Histogram, Free>(
      static_cast<Histogram*>(std::calloc(1, sizeof(Histogram))));  // NOLINT(bugprone-sizeof-*)
}

}  // namespace

TEST_CASE("the cells cover every value up to the highest without a gap") {
  CHECK(HistogramLayout::lowest_of(0) == 0);
  for (size_t i = 0; i + 1 < HistogramLayout::cells; ++i) {
    REQUIRE(HistogramLayout::highest_of(i) + 1 == HistogramLayout::lowest_of(i + 1));
    REQUIRE(HistogramLayout::index_of(HistogramLayout::lowest_of(i)) == i);
    REQUIRE(HistogramLayout::index_of(HistogramLayout::highest_of(i)) == i);
  }
  CHECK(HistogramLayout::highest_of(HistogramLayout::cells - 1) == HistogramLayout::highest_ns);
}

TEST_CASE("a cell is at most 1/1000 as wide as its values, and at least 64 ns") {
  for (size_t i = 0; i < HistogramLayout::cells; ++i) {
    uint64_t const width = HistogramLayout::highest_of(i) - HistogramLayout::lowest_of(i) + 1;
    REQUIRE(width >= 64);
    if (width > 64) REQUIRE(width * 1000 <= HistogramLayout::lowest_of(i));
  }
}

TEST_CASE("percentiles are those of the exact values to three digits") {
  auto const live = zeroed_histogram();
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latency(std::log(2e6), 1.5);
  std::vector<uint64_t> exact;
  double sum = 0;
  for (int i = 0; i < 50'000; ++i) {
    uint64_t const value = static_cast<uint64_t>(latency(random));
    exact.push_back(value);
    sum += static_cast<double>(value);
    live->record(value);
  }
  std::sort(exact.begin(), exact.end());
  HistogramSnapshot const copy = live->snapshot();
  CHECK(copy.count() == exact.size());
  CHECK(copy.mean_ns() == doctest::Approx(sum / 50'000.0));
  for (size_t thousandths :
       {1U, 1'000U, 10'000U, 50'000U, 90'000U, 99'000U, 99'900U, 99'990U, 100'000U}) {
    double const percent = static_cast<double>(thousandths) / 1000;
    size_t const rank = (thousandths * exact.size() + 99'999) / 100'000;
    uint64_t const want = exact[rank - 1];
    uint64_t const got = copy.percentile_ns(percent);
    CAPTURE(percent);
    CHECK(got >= want);
    CHECK(got - want <= std::max<uint64_t>(64, want / 1000));
  }
  CHECK(copy.max_ns() == copy.percentile_ns(100));
}

TEST_CASE("an empty histogram has no percentiles, no mean and no maximum") {
  HistogramSnapshot const copy = zeroed_histogram()->snapshot();
  CHECK(copy.count() == 0);
  CHECK(copy.percentile_ns(99) == 0);
  CHECK(copy.mean_ns() == 0);
  CHECK(copy.max_ns() == 0);
  CHECK(copy.count_up_to(1'000'000) == 0);
}

TEST_CASE("one value is every percentile") {
  auto const live = zeroed_histogram();
  live->record(1'000'000);
  HistogramSnapshot const copy = live->snapshot();
  CHECK(copy.percentile_ns(0) == copy.percentile_ns(100));
  CHECK(copy.percentile_ns(50) ==
        HistogramLayout::highest_of(HistogramLayout::index_of(1'000'000)));
}

TEST_CASE("a value above the highest counts in the last cell") {
  auto const live = zeroed_histogram();
  live->record(UINT64_MAX / 2);
  HistogramSnapshot const copy = live->snapshot();
  CHECK(copy.count() == 1);
  CHECK(copy.max_ns() == HistogramLayout::highest_ns);
  CHECK(copy.sum_ns() == HistogramLayout::highest_ns);
}

TEST_CASE("merging two histograms gives the histogram of all their values") {
  auto const a = zeroed_histogram();
  auto const b = zeroed_histogram();
  auto const both = zeroed_histogram();
  for (uint64_t value = 1; value < 4'000'000; value += 997) {
    (value % 2 == 0 ? *a : *b).record(value);
    both->record(value);
  }
  b->record(9'000'000'000);
  both->record(9'000'000'000);
  HistogramSnapshot merged = a->snapshot();
  merged.merge(b->snapshot());
  HistogramSnapshot const want = both->snapshot();
  CHECK(merged.counts() == want.counts());
  CHECK(merged.count() == want.count());
  CHECK(merged.sum_ns() == want.sum_ns());
}

TEST_CASE("count_up_to counts what is at or below a bound") {
  auto const live = zeroed_histogram();
  for (uint64_t ms = 1; ms <= 100; ++ms) live->record(ms * 1'000'000);
  HistogramSnapshot const copy = live->snapshot();
  CHECK(copy.count_up_to(0) == 0);
  CHECK(copy.count_up_to(10'000'000) == 10);
  CHECK(copy.count_up_to(10'500'000) == 10);
  CHECK(copy.count_up_to(UINT64_MAX) == 100);
}
