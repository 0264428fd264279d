// SPDX-License-Identifier: Apache-2.0
// Compiles the scripts of a bundle before they run. hunt_worker itself does it, in its jail, so the
// check and the run agree, and top-level code that loops is killed.
#pragma once
#include <string>

#include "bundle/bundle.h"

namespace huntd {

// Starts one worker per script, which compiles the script, runs its top-level code and checks that
// it returns a function. Returns the bundle with an image of each hunt. The error has a line for
// each script that fails, "DIR/HUNT_ID.lua:LINE: message". Blocks for at most `deadline_ms` per
// script.
Result<Bundle> check_bundle(const Bundle& bundle, const std::string& dir,
                            const std::string& worker_path, uint32_t deadline_ms,
                            uint64_t memory_bytes);

}  // namespace huntd
