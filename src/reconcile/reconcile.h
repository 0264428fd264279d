// SPDX-License-Identifier: Apache-2.0
// Reads Redis, Kafka and PostgreSQL and compares them, once or until every event is in the table.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "config/config.h"
#include "reconcile/memory_plan.h"
#include "reconcile/report.h"
#include "reconcile/scope.h"

namespace huntd::reconcile {

// Is called often: what is done now, how much of it, and of how much (0: not known).
using ShowProgress = std::function<void(const char* what, uint64_t done, uint64_t total)>;

struct ReconcileOptions {
  uint32_t wait_s = 0;          // how long to wait until the report is complete
  size_t differences_max = 50;  // listed in the report
  uint64_t memory_bytes = memory_default_bytes;
  Scope scope;
  uint32_t groups_min = 1;  // for tests: sessions are compared in at least N groups
  ShowProgress progress = [](const char*, uint64_t, uint64_t) {};
};

// Returns the report, or an error if a store cannot be read. Kind `unreachable`: a store or the
// disk of the temporary file.
//
// The stores are read once, by bucket into a temporary file, and compared group by group, so the
// memory is that of options.memory_bytes. What differs is read again before it is reported: at
// once, and without `wait_s` up to three times more while events are in Kafka that the next merge
// may count. With `wait_s` everything is read again until the report is complete or the time is
// over, and the last report is returned.
Result<Report> reconcile(const Config& config, const ReconcileOptions& options);

}  // namespace huntd::reconcile
