// SPDX-License-Identifier: Apache-2.0
// Reads Prometheus text (exposition format 0.0.4) as huntd and hunt-aggregator write it.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace huntd::huntctl {

// The value of each sample, by name and labels as in the text: `up{peer="source"}`.
using Samples = std::map<std::string, double, std::less<>>;

// Skips comments. The error quotes the first other line that is not a sample.
Result<Samples> read_samples(std::string_view text);

}  // namespace huntd::huntctl
