// SPDX-License-Identifier: Apache-2.0
#include "metrics/errors_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "base/json_text.h"

namespace huntd {
namespace {

// The same kind on another core. The newest example stays.
void merge(ErrorRow& sum, ErrorRow row) {
  sum.count += row.count;
  sum.first_ms = std::min(sum.first_ms, row.first_ms);
  sum.last_ms = std::max(sum.last_ms, row.last_ms);
  if (row.sample.empty() || row.sample_ms < sum.sample_ms) return;
  sum.sample_ms = row.sample_ms;
  sum.sample = std::move(row.sample);
}

std::vector<ErrorRow> rows_of(const SharedRegion& region) {
  std::map<uint64_t, ErrorRow> by_kind;
  for (uint32_t core = 0; core < region.cores(); ++core)
    for (ErrorRow& row : region.core(core).errors.rows()) {
      auto const [at, is_new] = by_kind.try_emplace(row.hash, row);
      if (!is_new) merge(at->second, std::move(row));
    }
  std::vector<ErrorRow> rows;
  for (auto& [hash, row] : by_kind) rows.push_back(std::move(row));
  std::stable_sort(rows.begin(), rows.end(),
                   [](const ErrorRow& a, const ErrorRow& b) { return a.last_ms > b.last_ms; });
  return rows;
}

void append_row(std::string& json, const ErrorRow& row, Private examples) {
  json += R"({"hunt":)";
  append_json_string(json, row.kind.hunt_id);
  fmt::format_to(std::back_inserter(json), R"(,"line":{},"reason":"{}","message":)",
                 row.kind.line == 0 ? "null" : std::to_string(row.kind.line),
                 failure_reason_names[static_cast<size_t>(row.kind.reason)]);
  append_json_string(json, row.kind.message);
  bool const shown = examples == Private::shown && !row.sample.empty();
  fmt::format_to(std::back_inserter(json),
                 R"(,"count":{},"first_ms":{},"last_ms":{},"example":{}}})", row.count,
                 row.first_ms, row.last_ms, shown ? row.sample : "null");
}

}  // namespace

std::string write_errors_json(const SharedRegion& region, Private examples) {
  std::string json = R"({"errors":[)";
  for (const ErrorRow& row : rows_of(region)) {
    if (json.back() != '[') json += ',';
    append_row(json, row, examples);
  }
  uint64_t no_room = 0;
  for (uint32_t core = 0; core < region.cores(); ++core)
    no_room += region.core(core).errors.no_room();
  return json + fmt::format(R"(],"no_room":{},"examples":{}}})", no_room, shown_json(examples));
}

std::string write_lines_json(const SharedRegion& region, Private lines) {
  std::string json = fmt::format(R"({{"started_at_ms":{},"shown":{},"cores":[)",
                                 region.started_at_ms(), shown_json(lines));
  for (uint32_t core = 0; core < region.cores(); ++core) {
    HuntLines::Snapshot copy = region.core(core).lines.snapshot();
    if (lines == Private::hidden) copy.lines.clear();
    uint64_t number = copy.added - copy.lines.size();
    json += fmt::format(R"({}{{"core":{},"added":{},"lines":[)", core == 0 ? "" : ",", core,
                        copy.added);
    for (const std::string& line : copy.lines) {
      if (json.back() != '[') json += ',';
      // A line that the core replaces while it is copied is missing.
      json += fmt::format("[{},{}]", number++, line.empty() ? "null" : line);
    }
    json += "]}";
  }
  return json + "]}";
}

}  // namespace huntd
