// What the kernel tells about a process of ours: CPU time, memory, descriptors (proc(5)).
#pragma once
#include <cstdint>
#include <optional>

namespace huntd {

struct ProcessFigures {
  double cpu_seconds = 0;  // user and system
  uint64_t resident_bytes = 0;
  uint64_t open_descriptors = 0;
};

// Nothing where there is no such process, or /proc may not be read for it.
std::optional<ProcessFigures> read_process_figures(uint64_t pid);

}  // namespace huntd
