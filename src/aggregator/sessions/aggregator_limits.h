// SPDX-License-Identifier: Apache-2.0
// Bounds that only hunt-aggregator has. Those it shares with huntd are in base/limits.h, those of
// its clients in drivers/driver_limits.h.
#pragma once
#include <cstddef>
#include <cstdint>

namespace huntd::limits {

// Events that were read and are not merged yet. At 48 bytes per event and 176 bytes per session,
// this holds about ten million events of a million sessions.
inline constexpr size_t batch_memory_bytes = 1024 * 1024 * 1024;
// If the source has more unread events than this, the aggregator catches up: it merges rarely, in
// large batches, but at least once per catch_up_merge_ms.
inline constexpr uint64_t catch_up_events_min = 50'000;
inline constexpr int64_t catch_up_merge_ms = 60'000;
// Reading stops after this time, to handle signals and the watchdog.
inline constexpr int64_t read_tick_ms = 200;
inline constexpr size_t merge_tries_max = 16;     // of one transaction that conflicts with another
inline constexpr size_t kafka_read_max = 10'000;  // messages taken from librdkafka at a time
// While no broker is reachable: how long to wait for one to respond.
inline constexpr int kafka_probe_ms = 200;
inline constexpr size_t retention_page_max = 5'000;       // rows read, or deleted, at a time
inline constexpr int64_t retention_pause_ms = 100;        // between two pages
inline constexpr int64_t retention_every_ms = 3'600'000;  // between two walks through the table
// A slice's new rows are inserted by INSERT up to this number, and by COPY above it. COPY is
// faster, but while PostgreSQL waits for COPY data it enforces no timeout.
inline constexpr size_t insert_rows_max = 8'192;
inline constexpr uint64_t aggregator_backoff_first_ms = 100;
inline constexpr uint64_t aggregator_backoff_max_ms = 5'000;

}  // namespace huntd::limits
