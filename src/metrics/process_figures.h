// SPDX-License-Identifier: Apache-2.0
// CPU time, memory and file descriptors of a process, from proc(5).
#pragma once
#include <cstdint>
#include <optional>

namespace huntd {

struct ProcessFigures {
  double cpu_seconds = 0;  // user and system
  uint64_t resident_bytes = 0;
  uint64_t open_descriptors = 0;
  uint64_t max_descriptors = 0;  // LimitNOFILE; UINT64_MAX: no limit
};

// Empty if the process does not exist or its /proc cannot be read.
std::optional<ProcessFigures> read_process_figures(uint64_t pid);

// When the process started, in clock ticks since the boot. Empty as above. With the pid it names a
// process of this boot: a pid alone is used again.
std::optional<uint64_t> process_start_ticks(uint64_t pid);

}  // namespace huntd
