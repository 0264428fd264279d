// SPDX-License-Identifier: Apache-2.0
// Progress on stderr while the load runs: one line per second, or one changing line if stderr is a
// terminal.
#pragma once
#include <cstdint>
#include <string_view>

#include "metrics/histogram.h"

namespace huntd::load {

class Progress {
 public:
  Progress();

  void connecting(uint32_t open, uint32_t wanted);
  struct Load {
    std::string_view phase;
    double elapsed_s = 0;
    uint64_t sent = 0;      // since the start
    uint64_t answered = 0;  // since the start
    uint64_t outstanding = 0;
    uint64_t errors = 0;
  };
  // `recent` has the latencies since the last call, which was `since_s` ago.
  void load(const Load& now, const HistogramSnapshot& recent, double since_s);
  // Ends the changing line.
  void end();

 private:
  void show(std::string_view text);

  bool terminal_;
  bool shown_ = false;
  uint64_t sent_ = 0;
  uint64_t answered_ = 0;
};

}  // namespace huntd::load
