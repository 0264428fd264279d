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

// Returns the report, or an error if a store cannot be read. What differs is read again before it
// is reported: at once, and without `wait_s` up to three times more while events are in Kafka that
// the next merge may count. With `wait_s` everything is read again until the report is complete or
// the time is over, and the last report is returned.
Result<Report> reconcile(const Config& config, const ReconcileOptions& options);

}  // namespace huntd::reconcile
