// What a run found, for people, for scripts, and for HdrHistogram's tools.
#pragma once
#include <string>
#include <vector>

#include "generator.h"

namespace huntd::load {

// A table.
std::string result_table(const Options& options, const Generator& run);
// One JSON object in one line.
std::string result_json(const Options& options, const Generator& run);
// The tags are all, admitted, refused and late; what has no values has no line.
std::string result_hlog(const Generator& run);
// Why the figures may be the generator's own: one sentence each, none in a good run.
std::vector<std::string> result_warnings(const Generator& run);

}  // namespace huntd::load
