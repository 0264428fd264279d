// SPDX-License-Identifier: Apache-2.0
// Compiles the scripts of a bundle before they run. hunt_worker itself does it, in its jail, so the
// check and the run agree, and top-level code that loops is killed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "bundle/bundle.h"

namespace huntd {

// Workers that check scripts at the same time: one per CPU that the process may use, at most this.
inline constexpr size_t check_workers_max = 16;

// Bounds of a check of several scripts, and who is informed.
struct CheckAll {
  // On the monotonic clock (base/clock.h). A script that has not been checked by then fails.
  int64_t end_at_ms = std::numeric_limits<int64_t>::max();
  // Called after each script; may be empty.
  std::function<void(size_t checked, size_t all)> progress;
};

// Starts one worker per script, several at a time, which compiles the script, runs its top-level
// code and checks that it returns a function. Returns the bundle with an image of each hunt. The
// error has a line for each script that fails, "DIR/HUNT_ID.lua:LINE: message", and one for each
// mistake in its settings, "DIR/HUNT_ID.toml:LINE: message", in the order of the bundle. Blocks for at most `deadline_ms` per script. The workers end with this process.
Result<Bundle> check_bundle(const Bundle& bundle, const std::string& dir,
                            const std::string& worker_path, uint32_t deadline_ms,
                            uint64_t memory_bytes, const CheckAll& all = {});

}  // namespace huntd
