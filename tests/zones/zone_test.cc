// SPDX-License-Identifier: Apache-2.0
// Against localtime_r() of the C library, which reads the same database.
#include "zones/zone.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "zones/zone_rule.h"

namespace huntd {
namespace {

int32_t offset_at(const ZoneChanges& zone, int64_t at_s) {
  auto const next = std::ranges::upper_bound(
      zone, at_s, {}, [](const ZoneChange& change) { return int64_t{change.at_s}; });
  return std::prev(next)->offset_s;
}

}  // namespace

TEST_CASE("every zone has the offsets of the C library, from 1970 to 2037") {
  REQUIRE(zone_names().size() > 300);
  for (const std::string& name : zone_names()) {
    Result<ZoneChanges> const zone = read_zone(name);
    REQUIRE_MESSAGE(zone, name);
    REQUIRE(setenv("TZ", name.c_str(), 1) == 0);
    tzset();
    size_t different = 0;
    // Each change that is missing is between two of these times.
    for (time_t at = 0; at < 2'140'000'000; at += 700'000) {
      tm local{};
      localtime_r(&at, &local);
      if (local.tm_gmtoff != offset_at(*zone, at)) ++different;
    }
    CHECK_MESSAGE(different == 0, name);
    for (const ZoneChange& change : *zone) {
      if (change.at_s == 0 || change.at_s > 2'140'000'000) continue;
      for (time_t const at : {time_t{change.at_s} - 1, time_t{change.at_s}}) {
        tm local{};
        localtime_r(&at, &local);
        CHECK_MESSAGE(local.tm_gmtoff == offset_at(*zone, at), name);
      }
    }
  }
}

TEST_CASE("a rule goes on to the end of the century") {
  ZoneChanges berlin{{0, 3600}};
  REQUIRE(append_rule("CET-1CEST,M3.5.0,M10.5.0/3", 0, berlin));
  CHECK(berlin.size() == 1 + 2 * 130);
  CHECK(berlin.back() == ZoneChange{4'096'573'200, 3600});  // 2099-10-25 01:00 UTC
  ZoneChanges sydney{{0, 36'000}};
  REQUIRE(append_rule("AEST-10AEDT,M10.1.0,M4.1.0/3", 1'767'225'600, sydney));
  CHECK(sydney[1] == ZoneChange{1'775'318'400, 36'000});  // 2026-04-05 02:00 standard time
  CHECK(sydney[2] == ZoneChange{1'791'043'200, 39'600});  // 2026-10-04 02:00
}

TEST_CASE("rules of Greenland and of Ireland are understood, malformed ones are not") {
  for (const char* rule : {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "IST-1GMT0,M10.5.0,M3.5.0/1",
                           "<+1245>-12:45<+1345>,M9.5.0/2:45,M4.1.0/3:45", "MSK-3", "<-03>3"}) {
    ZoneChanges changes{{0, 0}};
    CHECK_MESSAGE(append_rule(rule, 0, changes), rule);
  }
  for (const char* rule :
       {"", "C", "CET", "CET-1CEST", "CET-1CEST,J60,J300", "CET-1CEST,M13.1.0,M1.1.0",
        "CET-1CEST,M3.5.0", "CET-1CEST,M3.5.0,M10.5.0x", "<CET-1"}) {
    ZoneChanges changes{{0, 0}};
    CHECK_FALSE_MESSAGE(append_rule(rule, 0, changes), rule);
  }
}

TEST_CASE("a name that is wrong gets the nearest one") {
  CHECK(read_zone("Europe/Berln").error().message ==
        "there is no time zone \"Europe/Berln\"; did you mean Europe/Berlin?");
  CHECK(read_zone("europe/berlin").error().message ==
        "there is no time zone \"europe/berlin\"; did you mean Europe/Berlin?");
  CHECK(read_zone("Atlantis/Capital of the sea").error().message ==
        "there is no time zone \"Atlantis/Capital of the sea\"; write it as in Europe/Berlin");
  for (const char* name : {"", "../etc/passwd", "/etc/localtime", "right/Europe/Berlin", "Europe",
                           "zone.tab", "posixrules"})
    CHECK_FALSE_MESSAGE(read_zone(name), name);
  CHECK(read_zone("UTC"));
}

TEST_CASE("no prefix of a file is a zone") {
  CHECK_FALSE(parse_zone(""));
  CHECK_FALSE(parse_zone("TZif"));
  CHECK_FALSE(parse_zone(std::string("TZif2") + std::string(200, '\0')));
}

TEST_CASE("a local time is the first of two, and after a gap the change") {
  Result<ZoneChanges> const berlin = read_zone("Europe/Berlin");
  REQUIRE(berlin);
  CHECK(utc_of_local(*berlin, 1'796'083'200) == 1'796'079'600);  // 2026-12-01 00:00
  CHECK(utc_of_local(*berlin, 1'792'895'400) == 1'792'888'200);  // 2026-10-25 02:30, in summer time
  CHECK(utc_of_local(*berlin, 1'774'751'400) == 1'774'746'000);  // 2026-03-29 02:30 does not exist
}

}  // namespace huntd
