// SPDX-License-Identifier: Apache-2.0
#include "metrics/hunts_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "base/limits.h"

namespace huntd {
namespace {

struct Ranked {
  std::vector<HuntFigures> hunts;  // the most runs first
  HuntFigures other;
};

// The cores added up. A core without a slot for a hunt has counted it under `other`.
Ranked rank_hunts(const MetricsSnapshot& snapshot) {
  std::map<std::string_view, HuntFigures> by_hunt;
  Ranked ranked;
  for (const CoreSnapshot& core : snapshot.cores) {
    for (const HuntFigures& hunt : core.hunts.hunts) by_hunt[hunt.hunt_id].merge(hunt);
    ranked.other.merge(core.hunts.other);
    ranked.other.merge(core.hunts.replaced);
  }
  for (auto& [hunt_id, figures] : by_hunt) {
    figures.hunt_id = hunt_id;
    ranked.hunts.push_back(std::move(figures));
  }
  std::stable_sort(ranked.hunts.begin(), ranked.hunts.end(),
                   [](const HuntFigures& a, const HuntFigures& b) { return a.runs() > b.runs(); });
  while (ranked.hunts.size() > limits::hunts_counted_max) {
    ranked.other.merge(ranked.hunts.back());
    ranked.hunts.pop_back();
  }
  return ranked;
}

// The members of an entry after its name.
void append_figures(std::string& json, const HuntFigures& figures) {
  auto const percentile_ms = [&](double percent) {
    return static_cast<double>(figures.percentile_ns(percent)) / 1e6;
  };
  fmt::format_to(std::back_inserter(json), R"("runs":{})", figures.runs());
  for (size_t i = 0; i < hunt_outcome_names.size(); ++i)
    fmt::format_to(std::back_inserter(json), R"(,"{}":{})", hunt_outcome_names[i],
                   figures.outcomes[i]);
  fmt::format_to(std::back_inserter(json), R"(,"p50_ms":{:.3f},"p99_ms":{:.3f}}})",
                 percentile_ms(50), percentile_ms(99));
}

}  // namespace

std::string write_hunts_json(const MetricsSnapshot& snapshot) {
  Ranked const ranked = rank_hunts(snapshot);
  std::string json = R"({"hunts":[)";
  for (const HuntFigures& hunt : ranked.hunts) {
    json += R"({"hunt":)";
    append_json_string(json, hunt.hunt_id);
    json += ',';
    append_figures(json, hunt);
    json += ',';
  }
  json += R"({"hunt":null,"other":true,)";
  append_figures(json, ranked.other);
  fmt::format_to(std::back_inserter(json), R"(],"hunts_max":{}}})", limits::hunts_counted_max);
  return json;
}

}  // namespace huntd
