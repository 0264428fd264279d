// SPDX-License-Identifier: Apache-2.0
#include "metrics/loot_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "base/limits.h"

namespace huntd {
namespace {

std::string number_or_null(std::optional<uint64_t> number) {
  return number ? fmt::format("{}", *number) : "null";
}

// Adds what another core has counted of the same loot. Of the supply, the newer look counts.
void add_row(LootRow& sum, const LootRow& row) {
  sum.awards += row.awards;
  sum.units += row.units;
  bool const newer = row.left && (!sum.left || row.left_at_ms > sum.left_at_ms);
  if (newer) sum.left_at_ms = row.left_at_ms;
  if (newer) sum.left = row.left;
  if (newer || !sum.limit) sum.limit = row.limit ? row.limit : sum.limit;
}

std::string row_json(const LootRow& row) {
  std::string json = R"({"hunt":)";
  append_json_string(json, row.hunt_id);
  json += R"(,"loot":)";
  append_json_string(json, row.loot_id);
  json += fmt::format(R"(,"awards":{},"units":{},"limit":{},"left":{},"left_at_ms":{}}})",
                      row.awards, row.units, number_or_null(row.limit), number_or_null(row.left),
                      row.left ? fmt::format("{}", row.left_at_ms) : "null");
  return json;
}

}  // namespace

std::string write_loot_json(const SharedRegion& region, Private loot) {
  if (loot == Private::hidden) return R"({"loot":[],"no_room":0,"tables":[],"shown":false})";
  std::map<std::pair<std::string, std::string>, LootRow> by_loot;
  uint64_t no_room = 0;
  for (uint32_t core = 0; core < region.cores(); ++core) {
    const LootTable& table = region.core(core).loot;
    no_room += table.no_room();
    for (LootRow& row : table.rows()) {
      auto const [found, is_new] = by_loot.try_emplace({row.hunt_id, row.loot_id}, row);
      if (!is_new) add_row(found->second, row);
    }
  }
  std::vector<LootRow> rows;
  for (auto& [names, row] : by_loot) rows.push_back(std::move(row));
  std::stable_sort(rows.begin(), rows.end(),
                   [](const LootRow& a, const LootRow& b) { return a.awards > b.awards; });
  for (; rows.size() > limits::loots_counted_max; rows.pop_back()) no_room += rows.back().awards;
  std::string json = R"({"loot":[)";
  for (const LootRow& row : rows) json += (&row == rows.data() ? "" : ",") + row_json(row);
  std::string const tables = region.odds().get();
  return json + fmt::format(R"(],"no_room":{},"tables":{},"shown":true}})", no_room,
                            tables.empty() ? "[]" : tables);
}

}  // namespace huntd
