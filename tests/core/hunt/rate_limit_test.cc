// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/rate_limit.h"

#include <doctest/doctest.h>

#include <string>

#include "base/clock.h"

namespace huntd::server {
namespace {

constexpr uint64_t secret = 42;
constexpr uint64_t start_ns = 1000 * ns_per_s;

// How many of `count` requests of `name` at this moment get through.
int taken(RateBuckets& buckets, std::string_view name, int count, uint64_t now_ns) {
  int through = 0;
  for (int i = 0; i < count; ++i) {
    if (buckets.wait_ns(name, now_ns) > 0) continue;
    buckets.take(name, now_ns);
    ++through;
  }
  return through;
}

TEST_CASE("a bucket gives its burst at once, then one request per period") {
  RateBuckets buckets(rate_of(60, 5, 1), secret);
  CHECK(taken(buckets, "ada", 9, start_ns) == 5);
  CHECK(buckets.wait_ns("ada", start_ns) == ns_per_s);
  CHECK(taken(buckets, "ada", 9, start_ns + ns_per_s - 1) == 0);
  CHECK(taken(buckets, "ada", 9, start_ns + ns_per_s) == 1);
  CHECK(taken(buckets, "ada", 9, start_ns + 4 * ns_per_s) == 3);
  CHECK(taken(buckets, "ada", 9, start_ns + 3600 * ns_per_s) == 5);
}

TEST_CASE("each name has a bucket of its own") {
  RateBuckets buckets(rate_of(60, 1, 1), secret);
  CHECK(taken(buckets, "ada", 2, start_ns) == 1);
  CHECK(taken(buckets, "eve", 2, start_ns) == 1);
  CHECK(buckets.size() == 2);
}

TEST_CASE("over a long time no more than the rate gets through") {
  RateBuckets buckets(rate_of(90, 7, 1), secret);
  int through = 0;
  for (int tenth = 0; tenth < 36'000; ++tenth)
    through += taken(buckets, "ada", 3, start_ns + tenth * (ns_per_s / 10));
  CHECK(through >= 90 * 60);
  CHECK(through <= 90 * 60 + 7);
}

TEST_CASE("a core has its share of a limit, and at least one request at once") {
  CHECK(rate_of(60, 8, 4).period_ns == 4 * ns_per_s);
  CHECK(rate_of(60, 8, 4).burst == 2);
  CHECK(rate_of(60, 2, 4).burst == 1);
  CHECK(rate_of(0, 2, 4).period_ns == 0);
}

TEST_CASE("without a limit nothing is remembered") {
  RateBuckets buckets(Rate(), secret);
  CHECK(taken(buckets, "ada", 1000, start_ns) == 1000);
  CHECK(buckets.size() == 0);
}

TEST_CASE("the number of buckets is bounded, and those in use are kept") {
  RateBuckets buckets(rate_of(1, 1, 1), secret, 100);
  CHECK(taken(buckets, "ada", 1, start_ns) == 1);
  for (int i = 0; i < 10'000; ++i) {
    CHECK(taken(buckets, std::to_string(i), 1, start_ns) == 1);
    CHECK(buckets.size() <= 101);
  }
  CHECK(buckets.wait_ns("9999", start_ns) > 0);
  CHECK(buckets.wait_ns("9960", start_ns) > 0);
  CHECK(buckets.wait_ns("ada", start_ns) == 0);  // dropped: it meets a full bucket
}

TEST_CASE("a request above one limit takes nothing from the others") {
  RateLimits limits(rate_of(60, 2, 1), rate_of(60, 3, 1), rate_of(60, 4, 1), secret);
  CHECK_FALSE(limits.take("ada", "token", "gold", start_ns));
  CHECK_FALSE(limits.take("ada", "token", "gold", start_ns));
  for (int i = 0; i < 5; ++i)
    CHECK(limits.take("ada", "token", "gold", start_ns)->first == RateLimit::hunter);
  CHECK_FALSE(limits.take("eve", "token", "gold", start_ns));
  for (int i = 0; i < 5; ++i)
    CHECK(limits.take("eve", "token", "gold", start_ns)->first == RateLimit::token);
  CHECK_FALSE(limits.take("eve", "other", "gold", start_ns));
  auto const exceeded = limits.take("bob", "", "gold", start_ns);
  REQUIRE(exceeded);
  CHECK(exceeded->first == RateLimit::hunt);
  CHECK(exceeded->second == ns_per_s);
  CHECK_FALSE(limits.take("bob", "", "silver", start_ns));
}

}  // namespace
}  // namespace huntd::server
