// The bounds that only hunt-aggregator has; those it shares with huntd are in base/limits.h.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/limits.h"

namespace huntd::limits {

inline constexpr size_t seen_beyond_ranges_max = 64;  // past it an event waits beside its row
// What is read and not merged yet: at a 48-byte event and 176 bytes a session, some ten million
// events of a million sessions.
inline constexpr size_t fold_memory_bytes = 1024 * 1024 * 1024;
// With so many events in the source and not read, the aggregator catches up: it merges in few large
// merges, but at least once in catch_up_merge_ms.
inline constexpr uint64_t catch_up_events_min = 50'000;
inline constexpr int64_t catch_up_merge_ms = 60'000;
inline constexpr int64_t read_turn_ms =
    200;  // of reading; then signals and the watchdog get theirs
inline constexpr size_t merge_tries_max = 16;  // of one transaction that another one crossed
inline constexpr uint32_t pg_work_mem_kb = 64 * 1024;  // for one slice's joins
inline constexpr size_t outbox_read_max = 256;         // entries of one bucket in one XRANGE
inline constexpr size_t outbox_delete_max = 256;       // ids in one XDEL
inline constexpr size_t outbox_pipeline_max = 64;  // commands sent before the first reply is read
inline constexpr size_t kafka_read_max = 10'000;   // messages taken from librdkafka at a time
inline constexpr int kafka_look_ms = 200;  // while all brokers are away, for one of them to answer
inline constexpr size_t kafka_send_max = 1000;  // records sent before their acknowledgement
inline constexpr uint32_t kafka_send_timeout_ms = 10'000;  // of one of them
inline constexpr uint32_t kafka_topic_timeout_ms = 5'000;  // until a topic counts as not there
inline constexpr size_t retention_page_max = 5'000;        // rows looked at, or deleted, at a time
inline constexpr int64_t retention_pause_ms = 100;         // between two pages
inline constexpr int64_t retention_every_ms = 3'600'000;   // a walk over the table
inline constexpr uint32_t pg_statement_timeout_ms = 600'000;
inline constexpr uint32_t pg_lock_timeout_ms = 120'000;
// A slice's new rows go in by INSERT up to so many, by COPY past it. COPY is faster, and while
// Postgres waits for its bytes it notices no silence and keeps no time limit.
inline constexpr size_t insert_rows_max = 8'192;
// An aggregator that stands still in its merge holds its rows for so long; then Postgres ends it.
inline constexpr uint32_t pg_silence_ms = 15'000;
inline constexpr uint32_t peer_timeout_ms =
    10'000;  // the aggregator's wait for Redis or a Postgres connect
inline constexpr uint64_t aggregator_backoff_first_ms = 100;
inline constexpr uint64_t aggregator_backoff_max_ms = 5'000;

static_assert(pg_lock_timeout_ms < pg_statement_timeout_ms);
static_assert(pg_silence_ms < pg_lock_timeout_ms);  // so that who waits for those rows gets them

}  // namespace huntd::limits
