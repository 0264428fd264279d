// SPDX-License-Identifier: Apache-2.0
// Reads the aggregator's tables for reconcile: in one read-only snapshot, in pages.
#pragma once
#include <cstdint>
#include <span>

#include "base/result.h"
#include "drivers/pg_link.h"
#include "reconcile/reading.h"

namespace huntd::reconcile {

// Reads expired_before. Call it before any event is added, because it decides which events have
// expired.
Result<void> read_expired_before(PgLink& postgres, StoreFacts& facts);
// Adds the rows of hunt_session, hunt_session_waiting and hunt_supply.
Result<void> read_postgres(PgLink& postgres, const ReadSoFar& so_far, Reading& reading);
// Reads the floors of the sessions. Call it when everything else of them is read: what was
// purged or deleted meanwhile is then not compared.
Result<void> read_floors(PgLink& postgres, Snapshots& snapshots);
// Reads the rows of these sessions again (indexes in snapshots.sessions), and the floors.
Result<void> read_rows_again(PgLink& postgres, std::span<const uint32_t> sessions,
                             Snapshots& snapshots);
// Whether this entry of the outbox is in loot_events_dead.
Result<bool> has_dead_letter(PgLink& postgres, const RecordPlace& place);

}  // namespace huntd::reconcile
