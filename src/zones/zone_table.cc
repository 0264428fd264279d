// SPDX-License-Identifier: Apache-2.0
#include "zones/zone_table.h"

#include <cstring>
#include <map>
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

std::string make_table() {
  std::vector<zone_table_entry> entries;
  std::string changes;
  std::map<std::string, uint32_t> known;  // many names are of one zone
  for (const std::string& name : zone_names()) {
    Result<ZoneChanges> const zone = read_zone(name);
    if (!zone) continue;  // who names it gets the error of read_zone()
    std::string bytes;
    for (const ZoneChange& change : *zone)
      put(bytes, zone_table_change{change.at_s, change.offset_s});
    auto const [at, made] = known.try_emplace(bytes, static_cast<uint32_t>(changes.size()));
    if (made) changes += bytes;
    zone_table_entry entry{};
    std::memcpy(entry.name, name.data(), name.size());
    entry.offset = at->second;
    entry.changes = static_cast<uint32_t>(zone->size());
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
