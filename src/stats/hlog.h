// /latency.hlog: an HdrHistogram log, version 1.3, one interval from huntd's start to now
// (docs/formats/hlog.md).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "stats/histogram.h"
#include "stats/shared_region.h"

namespace huntd {

// One histogram as an HdrHistogram V2 compressed payload, before base64: big-endian header, then
// the counts as ZigZag LEB128 with runs of zeros as one negative number, deflated.
std::string encode_hdr_v2(const HistogramSnapshot& histogram);

// One histogram of a log, and the tag by which its readers tell it from the others.
struct HlogEntry {
  std::string tag;
  HistogramSnapshot values;
};
// A log of one interval (times since the epoch), `logger` in its head; an entry without values has
// no line.
std::string write_hlog(std::string_view logger, int64_t from_ms, int64_t to_ms,
                       const std::vector<HlogEntry>& entries);

// huntd's whole log; a stage of a core that has recorded nothing has no line. Tags are coreN.STAGE.
std::string write_hlog(const StatsSnapshot& snapshot);

}  // namespace huntd
