// SPDX-License-Identifier: Apache-2.0
// The newest lines that hunts wrote (hunt.log, and why runs failed), in shared memory, for those
// who follow a hunt (decision 65). The core that writes never waits: who reads too slowly finds
// that lines are gone.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "metrics/shared_text.h"
#include "metrics/shared_word.h"

namespace huntd {

// Lines that are kept per core, of which readers get all but the one that may be replaced next: more
// than two seconds of them, since limits::hunt_log_lines_per_s bounds both kinds.
inline constexpr size_t hunt_lines_max = 256;
inline constexpr size_t hunt_line_bytes_max = 1280;  // the JSON of one line

// Zeroed memory has no lines.
class HuntLines {
 public:
  // Adds a JSON object. Only the core calls this. REQUIRES: at most hunt_line_bytes_max.
  void add(std::string_view json) {
    uint64_t const number = added_.load();
    lines_[number % lines_.size()].set(json);
    added_.publish(number + 1);
  }

  struct Snapshot {
    uint64_t added = 0;              // since huntd started; a line's number counts from 0
    std::vector<std::string> lines;  // the last ones, the oldest first
  };
  // Any process. A line that may be being replaced is left out.
  Snapshot snapshot() const;

 private:
  SharedWord added_;
  std::array<SharedText<hunt_line_bytes_max>, hunt_lines_max> lines_;
};

}  // namespace huntd
