// Reconcile: reads the books of all three and compares them, once or until the pipeline has
// settled.
#pragma once
#include <cstdint>

#include "base/config.h"
#include "base/result.h"
#include "reconcile/compare.h"

namespace huntd {

struct ReconcileOptions {
  uint32_t wait_s = 0;          // how long to wait for the pipeline to settle; 0: judge at once
  size_t differences_max = 50;  // how many the verdict lists
};

// The verdict; an error where a server can't be read. With wait_s it reads again until the books
// agree and nothing is under way, and the verdict is that of the last reading.
Result<Verdict> reconcile(const Config& config, const ReconcileOptions& options);

}  // namespace huntd
