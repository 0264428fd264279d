// SPDX-License-Identifier: Apache-2.0
#include "zones/zone_table.h"

#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "wire/zone_table.h"
#include "zones/zone.h"

namespace huntd {
namespace {

static_assert(zone_changes_max == ZONE_CHANGES_MAX && zone_name_bytes == ZONE_NAME_BYTES);
static_assert(sizeof(ZoneChange) == sizeof(zone_table_change));

template <class T>
void put(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Of one zone, in the table.
struct Place {
  uint32_t offset = 0;
  uint32_t changes = 0;
};

// Appends the changes of a zone's file to `table`.
Place append_zone(const std::string& file, std::string& table) {
  Place place{static_cast<uint32_t>(table.size()), 0};
  Result<ZoneChanges> const zone = parse_zone(file);
  if (!zone) return place;  // who names it gets the error of read_zone()
  for (const ZoneChange& change : *zone)
    put(table, zone_table_change{change.at_s, change.offset_s});
  place.changes = static_cast<uint32_t>(zone->size());
  return place;
}

std::string make_table() {
  std::vector<zone_table_entry> entries;
  std::string changes;
  std::unordered_map<std::string, Place> known;  // many names are of one zone
  for (const std::string& name : zone_files()) {
    std::string file = zone_file_text(name);
    if (file.empty()) continue;
    auto const [at, made] = known.try_emplace(std::move(file));
    if (made) at->second = append_zone(at->first, changes);
    if (at->second.changes == 0) continue;
    zone_table_entry entry{};
    std::memcpy(entry.name, name.data(), name.size());
    entry.offset = at->second.offset;
    entry.changes = at->second.changes;
    entries.push_back(entry);
  }
  zone_table_head head{};
  std::memcpy(head.magic, ZONE_TABLE_MAGIC, sizeof head.magic);
  head.zones = static_cast<uint32_t>(entries.size());
  size_t const changes_at = sizeof head + entries.size() * sizeof(zone_table_entry);
  head.bytes = static_cast<uint32_t>(changes_at + changes.size());
  std::string table;
  put(table, head);
  for (zone_table_entry& entry : entries) {
    entry.offset += static_cast<uint32_t>(changes_at);
    put(table, entry);
  }
  return table + changes;
}

}  // namespace

const std::string& zone_table() {
  static const std::string table = make_table();
  return table;
}

}  // namespace huntd
