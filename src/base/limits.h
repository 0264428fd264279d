// SPDX-License-Identifier: Apache-2.0
// Bounds that clients, scripts and operators can meet, in one place. What an operator may change is
// a config key (config/config.h); these are properties of the program. A name ends in its unit;
// `_max` is inclusive. Bounds of one module only stand in that module; those of the blocking
// clients in drivers/driver_limits.h.
#pragma once
#include <cstddef>
#include <cstdint>

namespace huntd::limits {

// --- requests --------------------------------------------------------------------------------
inline constexpr size_t id_bytes_max = 64;
inline constexpr size_t idempotency_key_bytes_max = 128;
inline constexpr size_t request_head_bytes_max = 8 * 1024;   // request line and headers; else 431
inline constexpr size_t request_line_bytes_max = 4 * 1024;   // else 431 (not 414)
inline constexpr size_t request_headers_max = 64;            // header fields per request
inline constexpr size_t request_body_bytes_max = 16 * 1024;  // else 413
inline constexpr size_t chunk_extension_bytes_max = 256;     // all extensions of one chunk
inline constexpr size_t json_depth_max = 32;

// --- config ----------------------------------------------------------------------------------
inline constexpr size_t config_bytes_max = 1024 * 1024;     // the whole file
inline constexpr uint32_t redis_replicas_max = 16;          // redis.wait_replicas
inline constexpr uint32_t redis_replicas_listed_max = 256;  // that are looked for in INFO
inline constexpr size_t pg_name_bytes_max = 63;  // of a schema or role (PostgreSQL's own)
inline constexpr size_t topic_bytes_max = 249;   // a Kafka topic's name (Kafka's own bound)

// --- names and addresses ----------------------------------------------------------------------
inline constexpr size_t addresses_max = 16;  // of one name that are tried; further ones are not
inline constexpr size_t listeners_max = 16;  // sockets of the public port
// A connect waits this long for the addresses of a name. The look-up goes on: its result serves the
// next connect.
inline constexpr uint64_t resolve_wait_ns = 5'000'000'000;

// --- routing ---------------------------------------------------------------------------------
inline constexpr uint32_t buckets = 1024;  // hash values of hunter_id
inline constexpr uint32_t cores_max = 256;
inline constexpr size_t cpus_max = 8192;  // of a host: no kernel for x86_64 knows more

// --- the log ---------------------------------------------------------------------------------
inline constexpr size_t log_line_bytes_max = 4096;  // PIPE_BUF: a pipe takes it whole or not at all
// Lines that stderr did not take at once, per process; further ones are dropped and counted.
inline constexpr size_t log_kept_bytes_max = 16 * 1024;
// Lines that wait for the thread of the access log, per core; further ones are dropped and counted.
inline constexpr size_t log_queued_bytes_max = 1024 * 1024;
// How long that thread gathers lines before it writes them.
inline constexpr uint64_t log_gather_ns = 2'000'000;
// How long it waits for the log's reader before each line, while that reads nothing.
inline constexpr int log_room_wait_ms = 20;

// --- reload ----------------------------------------------------------------------------------
// Of what the check process of a reload reports, and of what the admin port shows of an error.
inline constexpr size_t check_report_bytes_max = 4 * 1024 * 1024;
inline constexpr size_t reload_error_bytes_max = 2048;
inline constexpr size_t check_error_bytes_max = 64 * 1024;  // that is logged, in whole lines
inline constexpr size_t check_warnings_max = 256;           // skipped files that are logged

// --- secrets ---------------------------------------------------------------------------------
inline constexpr size_t secrets_max = 16;  // per file
inline constexpr size_t secret_bytes_min = 24;
inline constexpr size_t secret_bytes_max = 128;
inline constexpr size_t secrets_file_bytes_max = 64 * 1024;  // with comments
// A JSON Web Token, its claims and the set of keys for it (auth.mode "jwt").
inline constexpr size_t jwt_bytes_max = 4096;
inline constexpr size_t claim_bytes_max = 256;   // of iss, aud and jti
inline constexpr size_t jwt_hunts_max = 64;      // that one token lists
inline constexpr size_t jwt_audiences_max = 16;  // that one token lists
inline constexpr size_t rsa_bits_min = 2048;
inline constexpr size_t rsa_bits_max = 4096;
// Signatures that a core verifies per tick, some 0.1 ms each; further tokens wait for the next one.
inline constexpr unsigned jwt_verified_per_tick_max = 8;
inline constexpr size_t revoked_max = 4096;  // lines of auth.revoked_file
inline constexpr size_t public_file_bytes_max =
    1024 * 1024;  // of auth.jwks_file, auth.revoked_file

// --- scripts and workers ---------------------------------------------------------------------
// The worker is C and has its own names for some of these (wire/worker_frame.h);
// wire/limits_agree.cc compares them.
inline constexpr size_t awards_max = 32;  // loot per request
// Units of one loot that one award gives, or one take takes away.
inline constexpr int32_t loot_units_max = 1'000'000;
inline constexpr size_t state_bytes_max = 4 * 1024;           // of a hunter in a hunt, as JSON
inline constexpr size_t held_loot_max = 1024;                 // distinct loot per hunter and hunt
inline constexpr size_t result_bytes_max = 16 * 1024;         // the script's result as JSON
inline constexpr size_t reason_bytes_max = 512;               // text of hunt.reject or of an error
inline constexpr size_t log_bytes_max = 4 * 1024;             // all hunt.log lines of one request
inline constexpr size_t script_bytes_max = 256 * 1024;        // source of one hunt
inline constexpr size_t bundle_bytes_max = 16 * 1024 * 1024;  // all sources
inline constexpr size_t image_bytes_max = 8 * 1024 * 1024;    // compiled state of one hunt
inline constexpr size_t bundle_images_bytes_max = 256 * 1024 * 1024;
inline constexpr size_t settings_bytes_max = 64 * 1024;      // NAME.toml of one hunt
inline constexpr size_t hunt_config_bytes_max = 60 * 1024;   // its [config], as a value
inline constexpr size_t testers_max = 1000;                  // of one hunt
inline constexpr size_t modules_max = 128;                   // lib/*.lua
inline constexpr size_t worker_frame_bytes_max = 96 * 1024;  // one frame on the worker's socket
// Lines of hunt.log, and separately of failed hunts, per core and second; further lines are only
// counted. The two budgets are separate so that a script cannot hide its failure behind its own
// lines.
inline constexpr uint32_t hunt_log_lines_per_s = 50;
inline constexpr size_t failure_rows_max = 512;  // rows of huntd_script_failures_total per core
inline constexpr size_t failure_lines_max = 16;  // lines per script that it distinguishes
// Hunts with figures of their own: per core, and in /hunts.json. All others count together.
inline constexpr size_t hunts_counted_max = 100;
// Loots of hunts with figures of their own: per core, and in /loot.json.
inline constexpr size_t loots_counted_max = 256;
// The text of the tables of odds of all scripts, and what each script may have of it.
inline constexpr size_t odds_bytes_max = 32 * 1024;
inline constexpr size_t odds_tables_max = 8;
inline constexpr size_t odds_lines_max = 64;  // of a table
// Supplies that a core looks at in a walk of its sweep, for /loot.json.
inline constexpr size_t supplies_looked_at_max = 64;
// How often a core compares their rates with those of the other hunts, and how many of them it may
// replace each time.
inline constexpr uint64_t hunt_ranking_period_ns = 10'000'000'000;
inline constexpr size_t hunt_replacements_max = 10;

// After a start of a worker that failed: the first pause, which doubles with each further failure;
// failures until the core is not ready; time between two log lines about it.
inline constexpr uint64_t start_pause_first_ns = 10'000'000;
inline constexpr uint64_t start_pause_max_ns = 1'000'000'000;
inline constexpr uint64_t start_failures_min = 3;
inline constexpr uint64_t start_failure_log_every_ns = 60'000'000'000;
// The process that starts workers is asked whether it runs: how often; how long without a reply
// until the core is not ready.
inline constexpr uint64_t launcher_ask_period_ns = 1'000'000'000;
inline constexpr uint64_t launcher_silence_max_ns = 2'000'000'000;

// --- loot events -----------------------------------------------------------------------------
inline constexpr uint64_t seq_max = INT64_MAX - 1;  // a PostgreSQL bigint range must hold seq + 1
inline constexpr int64_t timestamp_ms_max = 253'402'300'799'999;  // the end of the year 9999
// Gaps in a hunter's seqs that one row of hunt_session remembers; an event above the limit is
// stored beside its row.
inline constexpr size_t seen_beyond_ranges_max = 64;
// Earlier generations that one row of hunt_session remembers; older ones are dropped.
inline constexpr size_t past_generations_max = 16;

// --- the worker queue ------------------------------------------------------------------------
// A queue that has not been empty for this long is a standing queue: no mere pause of Redis or of
// the machine.
inline constexpr uint64_t standing_queue_after_ns = 500'000'000;

// --- the memory pool -------------------------------------------------------------------------
inline constexpr size_t pool_block_bytes_max = 65'536;         // larger blocks are the heap's
inline constexpr size_t pool_free_list_bytes_max = 1'048'576;  // kept per size class and thread

// --- the tick --------------------------------------------------------------------------------
inline constexpr uint64_t tick_long_ns = 5'000'000;  // a longer tick is counted and logged
// How much of the time between two ticks counts in Scheduler::ran_ns() at most. An idle core ticks
// every 250 ms.
inline constexpr uint64_t tick_counted_max_ns = 500'000'000;
// More completions wait for the next tick: 10 µs for each would be a long tick.
inline constexpr unsigned tick_completions_max = 512;
// If a core wakes up later than it asked for by more than this, it was stopped, and only this much
// counts. So that most of the time counts also if it is late each time, its next wait is as short.
inline constexpr uint64_t tick_overslept_max_ns = 20'000'000;
// After a tick that left completions, this much counts.
inline constexpr uint64_t tick_backlog_counted_ns = 1'000'000;

// --- priority --------------------------------------------------------------------------------
inline constexpr uint32_t priority_max = 20;             // nice -20, the kernel's own bound
inline constexpr uint64_t core_time_slice_ns = 100'000;  // the kernel's own lower bound

// --- the ring --------------------------------------------------------------------------------
inline constexpr unsigned ring_sq_entries = 1024;
// Multishot operations produce completions without new submissions.
inline constexpr unsigned ring_cq_entries = 8 * ring_sq_entries;
inline constexpr unsigned reap_batch = 256;
// Under overload a core waits until there are this many completions, or for this long: it would wake
// up for each rejection otherwise.
inline constexpr unsigned gather_completions = 64;
inline constexpr uint64_t gather_ns = 500'000;
// Provided buffers per core, each count a power of two. Connections to Redis have their own, so
// that a burst of clients cannot take the buffer that the reply to an award needs.
inline constexpr uint32_t recv_buffers_clients = 1024;
inline constexpr uint32_t recv_buffers_outgoing = 64;
inline constexpr size_t recv_buffer_bytes = 4096;
inline constexpr size_t stream_buffer_kept_bytes = 4096;  // send capacity of an idle connection

// File slots of the ring above http.connections_max: for connections that are being closed, and for
// connections that another core has handed over.
inline constexpr uint32_t file_slots_extra = 1024;
inline constexpr int listen_backlog = 4096;
// A core with room for fewer connections than the backlog accepts them one by one, this many
// operations at a time.
inline constexpr size_t accepts_max = 64;

static_assert((recv_buffers_clients & (recv_buffers_clients - 1)) == 0);
static_assert((recv_buffers_outgoing & (recv_buffers_outgoing - 1)) == 0);

// --- connections -----------------------------------------------------------------------------
// Connections above http.connections_per_address_max that get a response at the same time. Further
// ones are closed silently, so that rejections cannot exhaust a core.
inline constexpr size_t rejections_max = 256;
// Received and not yet read; reading pauses above it.
inline constexpr size_t connection_input_bytes_max = 64 * 1024;
// Responses that leave in one send. Above it, the next request waits until the client has taken
// them; so a client that does not read costs at most two sends of this size and a response each.
inline constexpr size_t connection_output_bytes_max = 64 * 1024;
// Read before a hand-over; a connection with more stays, and its requests are forwarded.
inline constexpr size_t handover_bytes_max = 32 * 1024;

static_assert(connection_input_bytes_max > request_head_bytes_max + request_body_bytes_max);

// --- between the processes of a host ---------------------------------------------------------
inline constexpr size_t peer_message_bytes_max = 96 * 1024;  // a forwarded request or response
// One tick's batch; it fits a socket buffer.
inline constexpr size_t peer_packet_bytes_max = 2 * peer_message_bytes_max;
// What a link holds for a slow sibling, beside the socket's buffer. What finds no room waits
// (decision 31): a response in memory; a request, or a connection that moves, in its connection,
// which is not read meanwhile.
inline constexpr size_t peer_queue_bytes_max = 1024 * 1024;
inline constexpr size_t peer_message_prefix_bytes = 4;  // a message takes this much more room
// Requests that a core has sent to another one and that have no response. It bounds the responses
// that wait for room on the other core, peer_message_bytes_max each.
inline constexpr size_t peer_requests_in_flight_max = 1024;

static_assert(peer_message_bytes_max > handover_bytes_max + 64);
static_assert(peer_queue_bytes_max >= 2 * peer_packet_bytes_max);
static_assert(peer_message_bytes_max > request_body_bytes_max + request_head_bytes_max);
static_assert(peer_message_bytes_max > held_loot_max * (id_bytes_max + 24) + 4096);
static_assert(peer_message_bytes_max > result_bytes_max + awards_max * (2 * id_bytes_max));

// --- Redis -----------------------------------------------------------------------------------
inline constexpr size_t redis_in_flight_max = 65'536;  // commands without a reply, per core
inline constexpr size_t redis_reply_bytes_max = 8 * 1024 * 1024;  // one reply
inline constexpr size_t redis_out_bytes_max = 16 * 1024 * 1024;   // commands not yet sent
inline constexpr uint64_t redis_silence_max_ns =
    5'000'000'000;  // without a reply, as the core ran: reconnect
inline constexpr size_t redis_linger_bytes_max = 32'768;  // this much is sent at once
inline constexpr uint64_t redis_backoff_first_ms = 50;
inline constexpr uint64_t redis_backoff_max_ms = 2000;
// A connection that was up for this long is replaced without a pause. Requests wait for the first
// attempt, at most redis_return_max_ns.
inline constexpr uint64_t redis_settled_ns = 250'000'000;
inline constexpr uint64_t redis_return_max_ns = 1'000'000'000;
inline constexpr int redis_tries_max = 3;  // of a command that may run twice
// Between two checks of Redis: its settings while it is used; all of it while it is not used, and
// after a commit that it rejected.
inline constexpr uint64_t redis_check_ns = 5'000'000'000;
inline constexpr uint64_t redis_check_unsuitable_ns = 1'000'000'000;
inline constexpr uint64_t redis_check_suspected_ns = 100'000'000;

// --- the ledger ------------------------------------------------------------------------------
// A tombstone: no attempt that it lists commits any more. So a commit may be this late.
inline constexpr uint64_t tombstone_ttl_ms = 7ULL * 24 * 3600 * 1000;
inline constexpr size_t tombstone_attempts_max = 64;  // listed by one tombstone, the newest
inline constexpr size_t held_was_max = 15;            // earlier generations that a held hash lists
// The hash `hunts`: between two reads while requests come; older than the second, nothing is
// committed.
inline constexpr uint64_t hunts_read_ms = 1000;
inline constexpr uint64_t hunts_stale_ms = 10'000;
inline constexpr size_t supplies_per_hunt_max = 1000;  // that a hunt ever draws on
inline constexpr size_t left_asked_max = 32;           // calls of hunt.left per run

// --- Kafka -----------------------------------------------------------------------------------
// How often a client of Kafka tries to reach its brokers. librdkafka's own 10 s would prolong each
// outage.
inline constexpr uint64_t kafka_reconnect_ms_max = 1000;
inline constexpr size_t kafka_properties_max = 256;    // per section of the config file
inline constexpr size_t kafka_property_name_max = 64;  // bytes
// A fault of a connection to a broker explains an error that follows it within this time.
inline constexpr int64_t kafka_fault_valid_ms = 60'000;
// A producer that failed fatally is replaced at once. If it lived less than the maximum, it is
// replaced after a pause that doubles each time.
inline constexpr int64_t kafka_replace_pause_first_ms = 100;
inline constexpr int64_t kafka_replace_pause_max_ms = 5000;
// Acknowledged events are removed from their bucket's outbox together, this long after the first of
// them.
inline constexpr uint64_t outbox_clear_after_ns = 1'000'000'000;
inline constexpr size_t emit_pending_max =
    65'536;  // events held for Kafka per core; more wait in the outbox
inline constexpr size_t sweep_events_max = 256;  // per bucket and sweep
inline constexpr size_t sweeps_parallel_max =
    16;  // buckets of a core that Redis is asked about at once
inline constexpr size_t kafka_rest_records_max = 64;  // per produce call
// A produce call waits this long for the state of its hunts. Without it, the call goes on.
inline constexpr uint64_t kafka_rest_states_wait_ns = 500'000'000;
// Kafka is not up if events wait and none was acknowledged for this long.
inline constexpr uint64_t log_silence_max_ns = 5'000'000'000;
// How often librdkafka reports the state of its connections.
inline constexpr int64_t kafka_state_period_ms = 2000;
// In a drain, a Kafka that has not acknowledged anything for this long is not waited for.
inline constexpr uint64_t drain_events_ns = 200'000'000;
// In a drain, a connection that has not sent a byte yet is closed after this long.
inline constexpr uint32_t drain_first_byte_ms = 500;

}  // namespace huntd::limits
