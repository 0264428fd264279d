// SPDX-License-Identifier: Apache-2.0
// Bounds of the blocking clients of Kafka, PostgreSQL and Redis.
#pragma once
#include <cstddef>
#include <cstdint>

namespace huntd::limits {

// Time to wait for Redis, or to connect to PostgreSQL.
inline constexpr uint32_t peer_timeout_ms = 10'000;

// --- Redis -----------------------------------------------------------------------------------
inline constexpr uint32_t sentinel_timeout_ms = 1'000;   // for one, from the connect to the reply
inline constexpr uint32_t sentinels_timeout_ms = 3'000;  // for all of them together
inline constexpr size_t sentinel_reply_bytes_max = 64 * 1024;
// Of a command to a cluster: MOVED and ASK in a row; TRYAGAIN, with these pauses, in all.
inline constexpr int cluster_redirects_max = 8;
inline constexpr int64_t cluster_again_max_ms = 10'000;
inline constexpr int64_t cluster_again_ms = 50;
// All nodes together, until one has the slots: as long as 16 that are silent take.
inline constexpr int64_t cluster_map_timeout_ms = 16 * peer_timeout_ms;
inline constexpr int cluster_scans_max = 3;        // if slots move while all keys are read
inline constexpr size_t outbox_read_max = 256;     // entries of one bucket per XRANGE
inline constexpr size_t outbox_delete_max = 128;   // entries that one script compares and deletes
inline constexpr size_t outbox_pipeline_max = 64;  // commands sent before the first reply is read

// --- Kafka -----------------------------------------------------------------------------------
inline constexpr size_t kafka_send_max = 1000;             // records sent but not acknowledged
inline constexpr uint32_t kafka_send_timeout_ms = 10'000;  // for one record
inline constexpr uint32_t kafka_topic_timeout_ms = 5'000;  // until a topic counts as missing
// The partitions of a member of the group that died without leaving are not read for this long.
inline constexpr uint32_t kafka_session_ms = 10'000;
// How soon added partitions are noticed, at the latest.
inline constexpr int64_t kafka_refresh_ms_max = 15'000;
// A fault of a connection that librdkafka reports again is logged again only after this time.
inline constexpr int64_t kafka_fault_repeat_ms = 30'000;

// --- PostgreSQL ------------------------------------------------------------------------------
// The first with multirange types, in which a row keeps the seqs that it has counted.
inline constexpr int pg_version_min = 140'000;         // as PQserverVersion() gives it
inline constexpr uint32_t pg_work_mem_kb = 64 * 1024;  // for the joins of one slice
inline constexpr uint32_t pg_statement_timeout_ms = 600'000;
inline constexpr uint32_t pg_lock_timeout_ms = 120'000;
// PostgreSQL ends a transaction whose client is silent for this long, so that the rows it locks are
// released.
inline constexpr uint32_t pg_silence_ms = 15'000;

static_assert(pg_lock_timeout_ms < pg_statement_timeout_ms);
static_assert(pg_silence_ms < pg_lock_timeout_ms);  // a waiter gets the rows of a silent client

}  // namespace huntd::limits
