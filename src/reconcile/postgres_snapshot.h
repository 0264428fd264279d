// SPDX-License-Identifier: Apache-2.0
// Reads the aggregator's tables for reconcile: in one read-only snapshot, in pages.
#pragma once
#include <cstdint>
#include <span>

#include "base/result.h"
#include "drivers/pg_link.h"
#include "reconcile/snapshot.h"

namespace huntd::reconcile {

// Reads expired_before into snapshots.expired_before_ms. Call it before any event is added,
// because it decides which events have expired.
Result<void> read_expired_before(PgLink& postgres, Snapshots& snapshots);
// Reads hunt_session, hunt_session_waiting, the floors and hunt_supply.
Result<void> read_postgres(PgLink& postgres, Snapshots& snapshots);
// Reads the rows of these sessions again (indexes in snapshots.sessions), and the floors.
Result<void> read_rows_again(PgLink& postgres, std::span<const uint32_t> sessions,
                             Snapshots& snapshots);

}  // namespace huntd::reconcile
