// SPDX-License-Identifier: Apache-2.0
// The name, type and help text of a metric. /metrics writes them, and docs/metrics.md lists them.
#pragma once
#include <array>
#include <cstddef>
#include <string_view>

namespace huntd {

struct Metric {
  std::string_view name;
  std::string_view type;    // "counter", "gauge" or "histogram"
  std::string_view labels;  // NAME, or NAME="A|B" if the values are fixed; ", " between them
  std::string_view help;    // full sentences
};

// The metric of a table, found at compile time. A name that is not in the table does not compile.
template <size_t count>
consteval const Metric& find_metric(const std::array<Metric, count>& table, std::string_view name) {
  for (const Metric& metric : table)
    if (metric.name == name) return metric;
  throw "no such metric in the table";
}

}  // namespace huntd
