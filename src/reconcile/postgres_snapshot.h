// SPDX-License-Identifier: Apache-2.0
// Reads the aggregator's tables for reconcile: in one read-only snapshot, in pages.
#pragma once
#include "base/result.h"
#include "drivers/pg_link.h"
#include "reconcile/snapshot.h"

namespace huntd::reconcile {

// Reads forgotten_before into snapshots.expired_before_ms. Call it before any event is added,
// because it decides which events have expired.
Result<void> read_expired_before(PgLink& postgres, Snapshots& snapshots);
// Reads hunt_session and hunt_session_waiting.
Result<void> read_postgres(PgLink& postgres, Snapshots& snapshots);

}  // namespace huntd::reconcile
