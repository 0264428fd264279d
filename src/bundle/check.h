// Compiling a bundle's scripts before anyone runs them: by hunt_worker itself, in its own jail, so
// that what is checked is what will run, and a script that loops at its top harms nobody.
#pragma once
#include <string>

#include "bundle/bundle.h"

namespace huntd {

// Starts one worker a script; each compiles it, runs its top and sees that it returns a function.
// The bundle comes back with the image of each. The error has a line for each script that fails,
// "DIR/hunt.lua:LINE: message". Blocks for at most deadline_ms a script.
Result<Bundle> check_bundle(const Bundle& bundle, const std::string& dir,
                            const std::string& worker_path, uint32_t deadline_ms,
                            uint64_t memory_bytes);

}  // namespace huntd
