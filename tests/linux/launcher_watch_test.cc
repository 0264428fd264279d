// SPDX-License-Identifier: Apache-2.0
#include "linux/launcher_watch.h"

#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::server;

namespace {
constexpr uint64_t ms = 1'000'000;
constexpr uint64_t begin = 1000 * ms;
constexpr uint64_t tick_ns = 250 * ms;
}  // namespace

TEST_CASE("a launcher that replies is asked once per period and is never silent") {
  LauncherWatch watch;
  int asked = 0;
  for (uint64_t now = begin; now < begin + 10'000 * ms; now += tick_ns) {
    if (watch.tick(now)) {
      ++asked;
      watch.received(true);
    }
    CHECK_FALSE(watch.silent());
  }
  CHECK(asked == 10);
}

TEST_CASE("a launcher that does not reply is silent, and recovers by its reply") {
  LauncherWatch watch;
  CHECK(watch.tick(begin));
  uint64_t now = begin;
  while (!watch.silent()) CHECK_FALSE(watch.tick(now += tick_ns));
  CHECK(now - begin == limits::launcher_silence_max_ns);
  CHECK_FALSE(watch.tick(now += 60'000 * ms));
  watch.received(true);
  CHECK_FALSE(watch.silent());
  CHECK(watch.tick(now += tick_ns));
}

TEST_CASE("a launcher that reports starts is not silent, although its reply is behind them") {
  LauncherWatch watch;
  CHECK(watch.tick(begin));
  for (uint64_t now = begin + tick_ns; now < begin + 20'000 * ms; now += tick_ns) {
    watch.tick(now);
    watch.received(false);
    CHECK_FALSE(watch.silent());
  }
}
