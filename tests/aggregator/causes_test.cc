// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "aggregator/source/backoff.h"
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::aggregator;

TEST_CASE("the first error is logged, and a lasting cause when it repeats, once") {
  Causes causes;
  CHECK(causes.note("closed", true));
  CHECK_FALSE(causes.note("not permitted to log in", false));
  CHECK(causes.note("not permitted to log in", false));
  CHECK_FALSE(causes.note("not permitted to log in", false));
  CHECK_FALSE(causes.note("closed", false));
  CHECK_FALSE(causes.note("closed", false));
  CHECK(causes.last() == "closed");
  CHECK(causes.note("not permitted to log in", true));  // another failure
}

TEST_CASE("one failure logs a bounded number of causes") {
  Causes causes;
  size_t logged = 0;
  for (int i = 0; i < 20; ++i)
    for (int again = 0; again < 2; ++again)
      logged += causes.note(std::to_string(i), i == 0 && again == 0) ? 1 : 0;
  CHECK(logged == limits::causes_logged_max);
}
