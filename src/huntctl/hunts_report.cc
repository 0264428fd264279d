// SPDX-License-Identifier: Apache-2.0
#include "huntctl/hunts_report.h"

#include <simdjson.h>

#include <algorithm>
#include <map>

#include "huntctl/json_response.h"

namespace huntd::huntctl {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;

HuntCounts read_hunt(const element& hunt) {
  HuntCounts counts;
  element const name = hunt["hunt"];
  if (!name.is_null()) counts.hunt = std::string_view(name);
  counts.runs = uint64_t(hunt["runs"]);
  counts.failed = uint64_t(hunt["failed"]);
  counts.refused = uint64_t(hunt["refused"]);
  counts.p50_ms = double(hunt["p50_ms"]);
  counts.p99_ms = double(hunt["p99_ms"]);
  return counts;
}

// Counters of the others become smaller when one of them gets figures of its own.
double rate_between(uint64_t before, uint64_t now, double seconds) {
  return now > before ? static_cast<double>(now - before) / seconds : 0;
}

}  // namespace

Result<HuntsReport> read_hunts_report(std::string_view json) {
  return parse_response(json, "hunts.json", [](element document) -> Result<HuntsReport> {
    HuntsReport report;
    for (element const hunt : array(document["hunts"])) report.hunts.push_back(read_hunt(hunt));
    report.hunts_max = uint64_t(document["hunts_max"]);
    return report;
  });
}

std::vector<HuntRates> hunts_between(const HuntsReport& before, const HuntsReport& now,
                                     double seconds, bool restarted) {
  std::vector<HuntRates> rates;
  if (seconds <= 0) return rates;
  std::map<std::string_view, const HuntCounts*> earlier;
  if (!restarted)
    for (const HuntCounts& hunt : before.hunts) earlier[hunt.hunt] = &hunt;
  bool const was_full = earlier.size() > before.hunts_max;  // the others have an entry too
  for (const HuntCounts& hunt : now.hunts) {
    auto const found = earlier.find(hunt.hunt);
    if (found == earlier.end() && was_full) continue;
    static const HuntCounts none;
    const HuntCounts& base = found == earlier.end() ? none : *found->second;
    HuntRates const rate = {hunt, rate_between(base.runs, hunt.runs, seconds),
                            rate_between(base.failed, hunt.failed, seconds),
                            rate_between(base.refused, hunt.refused, seconds)};
    if (rate.runs > 0) rates.push_back(rate);
  }
  std::stable_sort(rates.begin(), rates.end(),
                   [](const HuntRates& a, const HuntRates& b) { return a.runs > b.runs; });
  return rates;
}

}  // namespace huntd::huntctl
