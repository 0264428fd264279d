// Prometheus text (exposition format 0.0.4) as the programs of huntd write it, read back.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace huntd::huntctl {

// Each sample by its name and labels as they stand: `up{peer="source"}`.
using Samples = std::map<std::string, double, std::less<>>;

// The error quotes the first line that is no sample.
Result<Samples> read_samples(std::string_view text);

}  // namespace huntd::huntctl
