// SPDX-License-Identifier: Apache-2.0
// Prints what the admin port would, for the sample region: the Python checks beside it feed it to
// other programs.
//   print_sample metrics|latency|hlog
#include <cstdio>
#include <string>
#include <string_view>

#include "metrics/hlog.h"
#include "metrics/metrics_json.h"
#include "metrics/prometheus.h"
#include "sample_metrics.h"

int main(int argc, char** argv) {
  using namespace huntd;
  std::string_view const what = argc == 2 ? argv[1] : "";
  SharedRegion region = testing::sample_region(2, 20'000);
  region.core(1).record(Stage::request, 90'000'000'000);  // an outlier of more than 32 bits
  MetricsSnapshot const snapshot = take_snapshot(region);
  std::string text;
  if (what == "metrics")
    text = write_prometheus(snapshot, {read_process_figures(snapshot.cores[0].pid), std::nullopt});
  else if (what == "latency")
    text = write_latency_json(snapshot);
  else if (what == "hlog")
    text = write_hlog(snapshot);
  else
    return 2;
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
