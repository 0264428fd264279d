// SPDX-License-Identifier: Apache-2.0
// The reports that `huntctl latency --reset` keeps, one per admin address, in huntctl's own folder:
// $XDG_STATE_HOME/huntctl, or ~/.local/state/huntctl. The admin port only reads, so no other caller
// sees a reset.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "huntctl/latency_report.h"

namespace huntd::huntctl {

// The file of this admin address: each way to write an address has one of its own. The error, of
// kind `usage`, is that no folder is known.
Result<std::string> latency_baseline_path(std::string_view admin_address);

// Replaces the file, as a whole or not at all, and makes its folder. `json` is the content of
// /latency.json.
Result<void> keep_latency_baseline(const std::string& path, std::string_view json);

// Errors are of kind `usage` and name the command that makes the file.
Result<LatencyReport> read_latency_baseline(const std::string& path,
                                            std::string_view admin_address);

}  // namespace huntd::huntctl
