// SPDX-License-Identifier: Apache-2.0
// Reads Redis, Kafka and PostgreSQL and compares them, once or until every event is in the table.
#pragma once
#include <cstdint>

#include "base/result.h"
#include "config/config.h"
#include "reconcile/compare.h"

namespace huntd::reconcile {

struct ReconcileOptions {
  uint32_t wait_s = 0;          // how long to wait until the report is complete
  size_t differences_max = 50;  // listed in the report
};

// Returns the report, or an error if a store cannot be read. With `wait_s` it reads again until the
// report is complete or the time is over, and returns the last report.
Result<Report> reconcile(const Config& config, const ReconcileOptions& options);

}  // namespace huntd::reconcile
