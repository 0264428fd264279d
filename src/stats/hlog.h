// /latency.hlog: an HdrHistogram log, version 1.3, one interval from huntd's start to now
// (docs/formats/hlog.md).
#pragma once
#include <string>

#include "stats/histogram.h"
#include "stats/shared_region.h"

namespace huntd {

// One histogram as an HdrHistogram V2 compressed payload, before base64: big-endian header, then
// the counts as ZigZag LEB128 with runs of zeros as one negative number, deflated.
std::string encode_hdr_v2(const HistogramSnapshot& histogram);

// The whole log; a stage of a core that has recorded nothing has no line. Tags are coreN.STAGE.
std::string write_hlog(const StatsSnapshot& snapshot);

}  // namespace huntd
