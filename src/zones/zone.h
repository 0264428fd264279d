// SPDX-License-Identifier: Apache-2.0
// Time zones of the system's database (tzdata), as lists of the moments at which the offset from
// UTC changes.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd {

// Where the files of the zones are (tzfile(5)).
inline constexpr const char* zones_dir = "/usr/share/zoneinfo";

// The times of which the date is known: from 1970 to before 2100, in seconds since 1970.
inline constexpr int64_t zone_end_s = 4'102'444'800;
// The names are shorter than this.
inline constexpr size_t zone_name_bytes = 40;
// Of one zone: two a year, and more in its history.
inline constexpr size_t zone_changes_max = 400;

struct ZoneChange {
  uint32_t at_s = 0;     // since 1970, UTC
  int32_t offset_s = 0;  // east of UTC, from then on
  bool operator==(const ZoneChange&) const = default;
};
// In the order of time; the first is at 0.
using ZoneChanges = std::vector<ZoneChange>;

// Reads the bytes of a file of the database (RFC 8536, version 2 and later).
Result<ZoneChanges> parse_zone(std::string_view bytes);

// Reads the zone `name`, such as "Europe/Berlin". The error says what to do: that there is no such
// zone, with the name that is nearest, or that the host has no database.
Result<ZoneChanges> read_zone(const std::string& name);

// The names of the files of this host's database, sorted: those of all zones, and some of files that
// are not zones. Empty if there is no database.
std::vector<std::string> zone_files();

// The bytes of the file of zone `name`; "" if there is no such zone.
std::string zone_file_text(const std::string& name);

// The names of all zones of this host, sorted; empty if it has no database. They are read once.
const std::vector<std::string>& zone_names();

// "2026-12-24T18:00:00" by the clocks of the zone, given as if it were UTC, in seconds since 1970.
// Of a time that comes twice it is the first, of one that the clocks skip the moment of the change.
int64_t utc_of_local(const ZoneChanges& zone, int64_t local_s);

}  // namespace huntd
