// SPDX-License-Identifier: Apache-2.0
// /latency.hlog: an HdrHistogram log, version 1.3, one interval from huntd's start to now
// (docs/formats/hlog.md).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/histogram.h"
#include "metrics/shared_region.h"

namespace huntd {

// One histogram as an HdrHistogram V2 compressed payload, before base64: big-endian header, then
// the counts as ZigZag LEB128 with runs of zeros as one negative number, deflated.
std::string encode_hdr_v2(const HistogramSnapshot& histogram);

// One histogram of a log. Its tag identifies it.
struct HlogEntry {
  std::string tag;
  HistogramSnapshot values;
};
// A log of one interval (times since 1970), with `logger` in its header. An entry without values
// has no line.
std::string write_hlog(std::string_view logger, int64_t from_ms, int64_t to_ms,
                       const std::vector<HlogEntry>& entries);

// The log of all cores. Tags are coreN.STAGE; a stage without values has no line.
std::string write_hlog(const MetricsSnapshot& snapshot);

}  // namespace huntd
