// Every upper bound in one place. What an operator may change is a config key (base/config.h); what
// is here is a property of the program. Names end in their unit; `_max` is inclusive.
#pragma once
#include <cstddef>
#include <cstdint>

#include "protocol/worker_frame.h"

namespace huntd::limits {

// --- what clients send -----------------------------------------------------------------------
inline constexpr size_t id_bytes_max = 64;
inline constexpr size_t idempotency_key_bytes_max = 128;
inline constexpr size_t request_head_bytes_max = 8 * 1024;  // request line and headers: 431 past it
inline constexpr size_t request_line_bytes_max = 4 * 1024;  // 414-class targets answer 431 too
inline constexpr size_t request_headers_max = 64;           // header fields in one request
inline constexpr size_t request_body_bytes_max = 16 * 1024;  // 413 past it
inline constexpr size_t chunk_extension_bytes_max = 256;     // all extensions of one chunk
inline constexpr size_t json_depth_max = 32;

// --- config ----------------------------------------------------------------------------------
inline constexpr size_t config_bytes_max = 1024 * 1024;  // the whole file
inline constexpr size_t topic_bytes_max = 249;           // a Kafka topic's name (Kafka's own bound)

// --- routing ---------------------------------------------------------------------------------
inline constexpr uint32_t buckets = 1024;  // hash values of hunter_id
inline constexpr uint32_t cores_max = 64;

// --- secrets of [auth] -----------------------------------------------------------------------
inline constexpr size_t secrets_max = 16;  // in one file: the old, the new, one a client
inline constexpr size_t secret_bytes_min = 24;
inline constexpr size_t secret_bytes_max = 128;
inline constexpr size_t secrets_file_bytes_max = 64 * 1024;  // with its comments

// --- worker ----------------------------------------------------------------------------------
inline constexpr size_t awards_max = 32;               // loot in one request
inline constexpr size_t held_loot_max = 1024;          // distinct loot of a hunter in a hunt
inline constexpr size_t result_bytes_max = 16 * 1024;  // the script's result as JSON
inline constexpr size_t reason_bytes_max = 512;        // a reject's or an error's text
inline constexpr size_t log_bytes_max = 4 * 1024;      // all hunt.log lines of one request
// Per core, then only a count: hunt.log and failed hunts each have their own, so that a script
// can't hide its end behind its own lines.
inline constexpr uint32_t hunt_log_lines_per_s = 50;
inline constexpr size_t failure_rows_max = 512;         // of huntd_script_failures_total, per core
inline constexpr size_t failure_lines_max = 16;         // of one script that it tells apart
inline constexpr size_t script_bytes_max = 256 * 1024;  // one hunt's source
inline constexpr size_t bundle_bytes_max = 16 * 1024 * 1024;  // all sources
inline constexpr size_t image_bytes_max = 8 * 1024 * 1024;    // one hunt's compiled state
inline constexpr size_t bundle_images_bytes_max = 256 * 1024 * 1024;
inline constexpr size_t worker_frame_bytes_max = 96 * 1024;  // one frame on the worker's socket

// The worker is C and has these numbers in protocol/worker_frame.h.
static_assert(id_bytes_max == WF_ID_BYTES_MAX && awards_max == WF_AWARDS_MAX &&
              held_loot_max == WF_HELD_LOOT_MAX);
static_assert(result_bytes_max == WF_RESULT_BYTES_MAX && reason_bytes_max == WF_REASON_BYTES_MAX);
static_assert(log_bytes_max == WF_LOG_BYTES_MAX && worker_frame_bytes_max == WF_FRAME_BYTES_MAX);
static_assert(image_bytes_max == WF_IMAGE_BYTES_MAX);
static_assert(json_depth_max == WF_JSON_DEPTH_MAX && script_bytes_max == WF_SCRIPT_BYTES_MAX);
static_assert(worker_frame_bytes_max > result_bytes_max + reason_bytes_max + log_bytes_max +
                                           awards_max * (id_bytes_max + 8));
static_assert(worker_frame_bytes_max > held_loot_max * (id_bytes_max + 16));

// --- a loot event ----------------------------------------------------------------------------
inline constexpr uint64_t seq_max = INT64_MAX - 1;  // a Postgres bigint range must hold seq + 1
inline constexpr int64_t timestamp_ms_max = 253'402'300'799'999;  // the end of the year 9999

// --- the queue for a worker ------------------------------------------------------------------
// One that has not been empty for so long holds more than a hiccup of Redis or of the machine.
inline constexpr uint64_t queue_stands_after_ns = 500'000'000;

// --- memory that is kept for the next request ------------------------------------------------
inline constexpr size_t pool_piece_bytes_max = 65'536;     // larger ones are the heap's
inline constexpr size_t pool_shelf_bytes_max = 1'048'576;  // of one size, of one thread

// --- the tick --------------------------------------------------------------------------------
inline constexpr uint64_t tick_long_ns = 5'000'000;  // work past it is a stall: counted and told

// --- priority --------------------------------------------------------------------------------
inline constexpr uint32_t priority_max = 20;  // nice -20, the kernel's own bound

// --- ring ------------------------------------------------------------------------------------
inline constexpr unsigned ring_sq_entries = 1024;
inline constexpr unsigned ring_cq_entries =
    8 * ring_sq_entries;  // multishot operations fill it without new entries
inline constexpr unsigned reap_batch = 256;
// Provided buffers, per core, each a power of two. Connections of our own (Redis) have theirs, so
// that a crowd of clients that talks all at once can't take the buffer that an award's answer
// needs.
inline constexpr uint32_t recv_buffers_clients = 1024;
inline constexpr uint32_t recv_buffers_outgoing = 64;
inline constexpr size_t recv_buffer_bytes = 4096;
inline constexpr size_t stream_buffer_kept_bytes =
    4096;  // send capacity that an idle connection keeps

// Client sockets past http.connections_max that a core has room for: those whose close is on its
// way, and those that were under way from another core.
inline constexpr uint32_t slots_spare = 1024;
// Connections that wait for the cores: the most that the kernel hands over at once.
inline constexpr int listen_backlog = 4096;
// A core with room for no more than the backlog asks for connections one by one, so many at a time.
inline constexpr size_t accepts_max = 64;

static_assert((recv_buffers_clients & (recv_buffers_clients - 1)) == 0);
static_assert((recv_buffers_outgoing & (recv_buffers_outgoing - 1)) == 0);

// --- connections -----------------------------------------------------------------------------
// Of those past http.connections_per_address_max, so many at a time are told why; the rest are
// closed without a word, so that nobody fills a core with refusals.
inline constexpr size_t refusals_max = 256;
inline constexpr size_t connection_input_bytes_max =
    64 * 1024;  // received and not yet asked for: then reading pauses
inline constexpr size_t handover_bytes_max =
    32 * 1024;  // read before a hand-over; more than this stays and is forwarded

static_assert(connection_input_bytes_max > request_head_bytes_max + request_body_bytes_max);

// --- between processes of one box ----------------------------------------------------------------
inline constexpr size_t peer_message_bytes_max = 96 * 1024;  // a request or an answer, forwarded
inline constexpr size_t peer_packet_bytes_max =
    2 * peer_message_bytes_max;  // a tick's batch; fits a socket buffer
inline constexpr size_t peer_queue_bytes_max = 8 * 1024 * 1024;  // waiting for a slow sibling

static_assert(peer_message_bytes_max > handover_bytes_max + 64);
static_assert(peer_message_bytes_max > request_body_bytes_max + request_head_bytes_max);
static_assert(peer_message_bytes_max > held_loot_max * (id_bytes_max + 24) + 4096);
static_assert(peer_message_bytes_max > result_bytes_max + awards_max * (2 * id_bytes_max));

// --- Redis -----------------------------------------------------------------------------------
inline constexpr size_t redis_in_flight_max = 65'536;  // commands without a reply, per core
inline constexpr size_t redis_reply_bytes_max = 8 * 1024 * 1024;  // one reply
inline constexpr size_t redis_out_bytes_max =
    16 * 1024 * 1024;  // commands that wait for the link to take them
inline constexpr uint64_t redis_silence_max_ns =
    5'000'000'000;  // a reply that takes longer: the link is made anew
inline constexpr size_t redis_linger_bytes_max = 32'768;  // so much never waits for more
inline constexpr uint64_t redis_backoff_first_ms = 50;
inline constexpr uint64_t redis_backoff_max_ms = 2000;

// --- Kafka -----------------------------------------------------------------------------------
// A client of Kafka tries to reach its brokers again at least so often. librdkafka's own 10 s would
// be added to each outage.
inline constexpr uint64_t kafka_reconnect_ms_max = 1000;
// A producer that failed for good is replaced at once; one that lived less than the longest of
// these pauses, after one that doubles.
inline constexpr int64_t kafka_replace_pause_first_ms = 100;
inline constexpr int64_t kafka_replace_pause_max_ms = 5000;
// Acknowledged events leave the outbox so long after the first of their bucket, together.
inline constexpr uint64_t outbox_clear_after_ns = 1'000'000'000;
inline constexpr size_t emit_pending_max =
    65'536;  // events this core holds for Kafka; past it they wait in the outbox
inline constexpr size_t sweep_events_max = 256;  // one bucket, one sweep
inline constexpr size_t sweeps_at_a_time =
    16;  // a core's buckets that Redis is asked about at once
inline constexpr size_t rest_records_max = 64;  // in one produce call of the REST port

}  // namespace huntd::limits
