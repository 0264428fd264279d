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
// While no partition is read: how often the brokers are asked whether the topic exists.
inline constexpr int64_t kafka_probe_every_ms = 1'000;
inline constexpr int kafka_query_ms = 2'000;  // to wait for a reply about offsets or settings
// Until then it is normal that a new member of the group has no partition.
inline constexpr int64_t kafka_join_grace_ms = 10'000;
inline constexpr int64_t kafka_stall_ms = 15'000;  // until a partition counts as unreadable
// A new topic and new partitions are noticed after this time at the latest, and a rebalance.
inline constexpr int64_t kafka_metadata_refresh_ms = 5'000;
// How often an earlier record of a partition is read again, to notice a topic that was made again: at the
// end of the partition, and while there is more to read (what is fetched ahead is then void).
inline constexpr int64_t topic_check_ms = 5'000;
inline constexpr int64_t topic_check_busy_ms = 60'000;
// How often the events that are not in the table are counted, and those in the outbox.
inline constexpr int64_t lag_count_interval_ms = 2'000;
inline constexpr int64_t outbox_count_interval_ms = 5'000;
inline constexpr int64_t lag_stale_ms = 20'000;  // a count that is older is unknown
// Between two reads of the outbox, while events keep coming.
inline constexpr int64_t outbox_read_pause_ms = 100;
// Redis reports which outboxes have changed. The connection for that is checked by a PING; it is
// replaced if nothing comes for the second time; after two losses within the third time the source
// counts as failed.
inline constexpr int64_t outbox_watch_ping_ms = 1'000;
inline constexpr int64_t outbox_watch_silence_ms = 5'000;
inline constexpr int64_t outbox_watch_pause_ms = 1'000;
// Between two questions to a sentinel where the primary is, while connected.
inline constexpr int64_t outbox_sentinel_ms = 5'000;
// If Redis does not report: until it is asked again.
inline constexpr int64_t outbox_watch_retry_ms = 30'000;
// Should a report be lost nevertheless: this many outboxes are read each time, all in 256 s.
inline constexpr int64_t outbox_check_ms = 1'000;
inline constexpr uint32_t outbox_check_buckets = 4;
// Commands sent at once if the last ones failed.
inline constexpr uint32_t outbox_failing_pipeline_max = 16;
// Of a Redis Cluster: how often it is asked which node has which outbox, and at the soonest after a node
// has failed; how long one node is waited for, and all of them for that question; after how many times
// as long as its last failure took another failing node is tried; after which time a bucket that is on
// its way is looked for again; how long all nodes are waited for at most before they are looked at.
inline constexpr int64_t outbox_map_ms = 5'000;
inline constexpr int64_t outbox_map_gap_ms = 200;
inline constexpr uint32_t outbox_node_timeout_ms = 1'000;
inline constexpr int64_t outbox_map_timeout_ms = 3'000;
inline constexpr int64_t outbox_node_rest = 4;
inline constexpr int64_t outbox_moving_ms = 500;
inline constexpr int64_t outbox_parts_wait_ms = 100;
// If nothing may be read for this long, the partitions are paused (KafkaSource::idle()).
inline constexpr int64_t kafka_pause_after_ms = 30'000;
inline constexpr size_t retention_page_max = 5'000;       // rows read, or deleted, at a time
inline constexpr int64_t retention_pause_ms = 100;        // between two pages
inline constexpr int64_t retention_every_ms = 3'600'000;  // between two walks through the table
// While merges lower rows and enough leaders are left: between two looks at how many.
inline constexpr int64_t leaders_look_every_ms = 10'000;
// The clock may be so far ahead of what is known; if it is for the second time, an error is logged.
inline constexpr int64_t retention_step_max_ms = 86'400'000;
inline constexpr int64_t retention_doubt_ms = 10'000;
// A slice's new rows are inserted by INSERT up to this number, and by COPY above it. COPY is
// faster, but while PostgreSQL waits for COPY data it enforces no timeout.
inline constexpr size_t insert_rows_max = 8'192;
// Sessions of one transaction of a merge: at most, and before it is known how large their rows are.
inline constexpr size_t merge_sessions_max = 131'072;
inline constexpr size_t merge_sessions_first = 16'384;
// Of one merge: rows that PostgreSQL rejects for their data, and whose events become dead letters.
// If there are more, something is wrong with the database, and the merge fails.
inline constexpr size_t merge_rejected_rows_max = 100;
inline constexpr size_t dead_reason_bytes_max = 1'000;
// Leaders of a hunt: the view has at least the first number, the second is kept by trim_leaders(),
// which begins above the third.
inline constexpr size_t leaders_shown_min = 500;
inline constexpr size_t leaders_kept = 1'000;
inline constexpr size_t leaders_max = 2'000;
inline constexpr uint64_t aggregator_backoff_first_ms = 100;
inline constexpr uint64_t aggregator_backoff_max_ms = 5'000;

// Error lines of one failure of the source: the first error, and causes that repeat.
inline constexpr size_t causes_logged_max = 5;

}  // namespace huntd::limits
