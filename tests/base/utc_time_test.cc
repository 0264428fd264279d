// SPDX-License-Identifier: Apache-2.0
#include "base/utc_time.h"

#include <doctest/doctest.h>

using huntd::read_utc_ms;

TEST_CASE("a time is read with its zone, with and without seconds") {
  CHECK(read_utc_ms("1970-01-01T00:00Z") == 0);
  CHECK(read_utc_ms("2026-12-24T18:00+01:00") == 1798131600000);
  CHECK(read_utc_ms("2026-12-24T17:00:30Z") == 1798131630000);
  CHECK(read_utc_ms("2026-12-24T11:30-05:30") == 1798131600000);
  CHECK(read_utc_ms("2028-02-29T00:00Z") == 1835395200000);
  CHECK(read_utc_ms("1969-12-31T23:59:59Z") == -1000);
}

TEST_CASE("what is not such a time is not read") {
  for (const char* text : {"",
                           "T",
                           "Z",
                           "2026-12-24",
                           "2026-12-24T18:00",
                           "2026-12-24 18:00Z",
                           "2026-12-24T18Z",
                           "2026-12-24T18:00+0100",
                           "2026-12-24T18:00+1:00",
                           "2026-12-24T18:00+24:00",
                           "2026-12-24T18:00+00:60",
                           "2026-12-24T18:00Zx",
                           "2026-12-24T24:00Z",
                           "2026-12-24T18:60Z",
                           "2026-12-24T18:00:60Z",
                           "2026-02-29T00:00Z",
                           "2026-13-01T00:00Z",
                           "2026-00-01T00:00Z",
                           "2026-01-00T00:00Z",
                           "2026-04-31T00:00Z",
                           "26-12-24T18:00Z",
                           "x026-12-24T18:00Z",
                           "-026-12-24T18:00Z",
                           "2026-12-24T18:00:00.5Z",
                           "+2026-12-24T18:00Z"})
    CHECK_MESSAGE(!read_utc_ms(text), text);
}
