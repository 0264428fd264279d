// SPDX-License-Identifier: Apache-2.0
// The result of a run: for people, for scripts, and for HdrHistogram's tools.
#pragma once
#include <string>
#include <vector>

#include "generator.h"

namespace huntd::load {

// A table.
std::string result_table(const Options& options, const Generator& run);
// One JSON object in one line.
std::string result_json(const Options& options, const Generator& run);
// The tags are all, admitted, unavailable and late. A tag without values has no line.
std::string result_hlog(const Generator& run);
// Reasons why the generator may have limited the figures, one sentence each; empty in a good run.
std::vector<std::string> result_warnings(const Generator& run);

}  // namespace huntd::load
