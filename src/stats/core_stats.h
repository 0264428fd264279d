// What one core counts and measures, in shared memory: only that core writes (and, where said, its
// parent); the admin process reads. To add a counter or a gauge: one name in the enum, one row in
// the table below it.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "stats/histogram.h"
#include "stats/script_failures.h"
#include "stats/shared_word.h"

namespace huntd {

// The stages that a core's latency is split by; docs/latency.md says where each begins and ends.
enum class Stage : uint8_t { queue, worker_start, script, redis_commit, kafka_ack, request, tick };

inline constexpr std::array<std::string_view, 7> stage_names = {
    "queue", "worker_start", "script", "redis_commit", "kafka_ack", "request", "tick"};
static_assert(static_cast<size_t>(Stage::tick) + 1 == stage_names.size());

// Only ever grows, also over restarts of the core.
enum class Counter : uint8_t {
  hunts_ok,
  hunts_replayed,
  hunts_rejected,
  hunts_script_error,
  hunts_out_of_memory,
  hunts_deadline,
  hunts_shed_queue_full,
  hunts_shed_queue_deadline,
  hunts_shed_queue_stands,
  hunts_redis_unavailable,
  hunts_unknown_outcome,
  hunts_conflict,
  hunts_no_such_hunt,
  hunts_key_reused,
  hunts_bad_input,
  hunts_worker_died,
  hunts_core_down,
  hunts_owner,
  runs_process,
  runs_fork,
  runs_batch,
  http_2xx,
  http_3xx,
  http_4xx,
  http_5xx,
  http_bad_requests,
  auth_no_token,
  auth_bad_token,
  auth_expired,
  auth_other_hunter,
  request_bytes,
  response_bytes,
  connections_accepted,
  connections_handed_over,
  connections_closed,
  connections_refused,
  expired_first_byte,
  expired_idle,
  expired_request,
  expired_answer,
  requests_forwarded,
  forward_batches,
  workers_started,
  workers_killed,
  workers_died,
  awards,
  supply_granted,
  supply_gone,
  supply_released,
  redis_commands,
  redis_batches,
  redis_reconnects,
  redis_noscript,
  kafka_produced,
  kafka_acked,
  kafka_failed,
  rest_stored,
  rest_not_stored,
  rest_unknown,
  rest_refused,
  outbox_swept,
  bundle_swaps,
  ticks,
  ticks_long_ran,
  ticks_long_waited,
  ticks_long_away,
  count_,
};

// A number that goes up and down.
enum class Gauge : uint8_t {
  connections_open,
  workers_live,
  queue_length,
  redis_up,
  kafka_in_flight,
  outbox_pending,
  draining,
  count_,
};

// How one of them is shown. Rows with the same metric name stand together, differ in `label` and
// share `help`.
template <class E>
struct MetricRow {
  E which;
  std::string_view metric;
  std::string_view label;  // as it stands in the braces, beside core="N"; empty for none
  std::string_view help;
};

inline constexpr size_t counters = static_cast<size_t>(Counter::count_);
inline constexpr size_t gauges = static_cast<size_t>(Gauge::count_);

namespace stats_detail {
inline constexpr std::string_view ticks_long_help =
    "Turns whose work took more than 5 ms, by what the time went into: computing, waiting for a "
    "CPU "
    "that others had, or neither (stopped, asleep, or the hypervisor ran somebody else).";
inline constexpr std::string_view hunts_help = "Hunts answered, by outcome.";
inline constexpr std::string_view runs_help = "Runs of a script, by the isolation rung.";
inline constexpr std::string_view auth_help =
    "Requests refused for who calls, by why: 401, and 403 for another hunter's token.";
inline constexpr std::string_view http_help = "HTTP answers sent, by class of status.";
inline constexpr std::string_view expired_help =
    "Connections ended by a deadline, by what was waited for.";
inline constexpr std::string_view rest_help =
    "Records of produce calls (POST /topics/...), by what their callers were told.";
inline constexpr std::string_view supply_help = "Draws on a shared supply, by how they ended.";
}  // namespace stats_detail

inline constexpr std::array<MetricRow<Counter>, counters> counter_rows = {{
    {Counter::hunts_ok, "huntd_hunts_total", R"(outcome="ok")", stats_detail::hunts_help},
    {Counter::hunts_replayed, "huntd_hunts_total", R"(outcome="replayed")",
     stats_detail::hunts_help},
    {Counter::hunts_rejected, "huntd_hunts_total", R"(outcome="rejected")",
     stats_detail::hunts_help},
    {Counter::hunts_script_error, "huntd_hunts_total", R"(outcome="script_error")",
     stats_detail::hunts_help},
    {Counter::hunts_out_of_memory, "huntd_hunts_total", R"(outcome="out_of_memory")",
     stats_detail::hunts_help},
    {Counter::hunts_deadline, "huntd_hunts_total", R"(outcome="deadline")",
     stats_detail::hunts_help},
    {Counter::hunts_shed_queue_full, "huntd_hunts_total", R"(outcome="shed_queue_full")",
     stats_detail::hunts_help},
    {Counter::hunts_shed_queue_deadline, "huntd_hunts_total", R"(outcome="shed_queue_deadline")",
     stats_detail::hunts_help},
    {Counter::hunts_shed_queue_stands, "huntd_hunts_total", R"(outcome="shed_queue_stands")",
     stats_detail::hunts_help},
    {Counter::hunts_redis_unavailable, "huntd_hunts_total", R"(outcome="redis_unavailable")",
     stats_detail::hunts_help},
    {Counter::hunts_unknown_outcome, "huntd_hunts_total", R"(outcome="unknown_outcome")",
     stats_detail::hunts_help},
    {Counter::hunts_conflict, "huntd_hunts_total", R"(outcome="conflict")",
     stats_detail::hunts_help},
    {Counter::hunts_no_such_hunt, "huntd_hunts_total", R"(outcome="no_such_hunt")",
     stats_detail::hunts_help},
    {Counter::hunts_key_reused, "huntd_hunts_total", R"(outcome="key_reused")",
     stats_detail::hunts_help},
    {Counter::hunts_bad_input, "huntd_hunts_total", R"(outcome="bad_input")",
     stats_detail::hunts_help},
    {Counter::hunts_worker_died, "huntd_hunts_total", R"(outcome="worker_died")",
     stats_detail::hunts_help},
    {Counter::hunts_core_down, "huntd_hunts_total", R"(outcome="core_down")",
     stats_detail::hunts_help},
    {Counter::hunts_owner, "huntd_hunts_owner_total", "", "Hunts that ran on the owner core."},
    {Counter::runs_process, "huntd_worker_runs_total", R"(isolation="process")",
     stats_detail::runs_help},
    {Counter::runs_fork, "huntd_worker_runs_total", R"(isolation="fork")", stats_detail::runs_help},
    {Counter::runs_batch, "huntd_worker_runs_total", R"(isolation="batch")",
     stats_detail::runs_help},
    {Counter::http_2xx, "huntd_http_requests_total", R"(code="2xx")", stats_detail::http_help},
    {Counter::http_3xx, "huntd_http_requests_total", R"(code="3xx")", stats_detail::http_help},
    {Counter::http_4xx, "huntd_http_requests_total", R"(code="4xx")", stats_detail::http_help},
    {Counter::http_5xx, "huntd_http_requests_total", R"(code="5xx")", stats_detail::http_help},
    {Counter::http_bad_requests, "huntd_http_bad_requests_total", "",
     "Requests that were no HTTP/1.1; their connections were closed."},
    {Counter::auth_no_token, "huntd_auth_refused_total", R"(reason="no_token")",
     stats_detail::auth_help},
    {Counter::auth_bad_token, "huntd_auth_refused_total", R"(reason="bad_token")",
     stats_detail::auth_help},
    {Counter::auth_expired, "huntd_auth_refused_total", R"(reason="expired")",
     stats_detail::auth_help},
    {Counter::auth_other_hunter, "huntd_auth_refused_total", R"(reason="forbidden")",
     stats_detail::auth_help},
    {Counter::request_bytes, "huntd_http_request_bytes_total", "", "Bytes received from clients."},
    {Counter::response_bytes, "huntd_http_response_bytes_total", "", "Bytes sent to clients."},
    {Counter::connections_accepted, "huntd_connections_accepted_total", "",
     "Connections accepted."},
    {Counter::connections_handed_over, "huntd_connections_handed_over_total", "",
     "Connections handed over to their hunter's owner core."},
    {Counter::connections_closed, "huntd_connections_closed_total", "", "Connections closed."},
    {Counter::connections_refused, "huntd_connections_refused_total", "",
     "Connections past http.connections_per_address_max."},
    {Counter::expired_first_byte, "huntd_connections_expired_total", R"(waited_for="first_byte")",
     stats_detail::expired_help},
    {Counter::expired_idle, "huntd_connections_expired_total", R"(waited_for="next_request")",
     stats_detail::expired_help},
    {Counter::expired_request, "huntd_connections_expired_total", R"(waited_for="whole_request")",
     stats_detail::expired_help},
    {Counter::expired_answer, "huntd_connections_expired_total", R"(waited_for="answer_read")",
     stats_detail::expired_help},
    {Counter::requests_forwarded, "huntd_requests_forwarded_total", "",
     "Requests sent on to the owner core."},
    {Counter::forward_batches, "huntd_forward_batches_total", "",
     "Packets that carried forwarded requests and answers between cores."},
    {Counter::workers_started, "huntd_workers_started_total", "", "hunt_worker processes started."},
    {Counter::workers_killed, "huntd_workers_killed_total", "",
     "hunt_worker processes killed at their deadline."},
    {Counter::workers_died, "huntd_workers_died_total", "",
     "hunt_worker processes that ended without an outcome."},
    {Counter::awards, "huntd_awards_total", "", "Loot given."},
    {Counter::supply_granted, "huntd_supply_draws_total", R"(result="granted")",
     stats_detail::supply_help},
    {Counter::supply_gone, "huntd_supply_draws_total", R"(result="gone")",
     stats_detail::supply_help},
    {Counter::supply_released, "huntd_supply_draws_total", R"(result="released")",
     stats_detail::supply_help},
    {Counter::redis_commands, "huntd_redis_commands_total", "", "Commands sent to Redis."},
    {Counter::redis_batches, "huntd_redis_batches_total", "",
     "Writes to Redis; each carries all commands of a tick."},
    {Counter::redis_reconnects, "huntd_redis_reconnects_total", "",
     "Connections to Redis made after the first."},
    {Counter::redis_noscript, "huntd_redis_noscript_total", "",
     "Commits that Redis had forgotten the script of (NOSCRIPT)."},
    {Counter::kafka_produced, "huntd_kafka_produced_total", "",
     "Events handed to the Kafka producer."},
    {Counter::kafka_acked, "huntd_kafka_acked_total", "", "Events that Kafka acknowledged."},
    {Counter::kafka_failed, "huntd_kafka_failed_total", "",
     "Events that Kafka did not take; they wait in the outbox."},
    {Counter::rest_stored, "huntd_rest_records_total", R"(outcome="stored")",
     stats_detail::rest_help},
    {Counter::rest_not_stored, "huntd_rest_records_total", R"(outcome="not_stored")",
     stats_detail::rest_help},
    {Counter::rest_unknown, "huntd_rest_records_total", R"(outcome="unknown")",
     stats_detail::rest_help},
    {Counter::rest_refused, "huntd_rest_refused_total", "",
     "Produce calls refused whole: no such topic, or a record that is no loot event."},
    {Counter::outbox_swept, "huntd_outbox_swept_total", "", "Events emitted again by the sweeper."},
    {Counter::bundle_swaps, "huntd_bundle_swaps_total", "", "Bundles swapped in."},
    {Counter::ticks, "huntd_ticks_total", "", "Turns of the core's loop."},
    {Counter::ticks_long_ran, "huntd_ticks_long_total", R"(because="ran")",
     stats_detail::ticks_long_help},
    {Counter::ticks_long_waited, "huntd_ticks_long_total", R"(because="waited")",
     stats_detail::ticks_long_help},
    {Counter::ticks_long_away, "huntd_ticks_long_total", R"(because="away")",
     stats_detail::ticks_long_help},
}};

inline constexpr std::array<MetricRow<Gauge>, gauges> gauge_rows = {{
    {Gauge::connections_open, "huntd_connections_open", "", "Connections open now."},
    {Gauge::workers_live, "huntd_workers_live", "", "hunt_worker processes alive now."},
    {Gauge::queue_length, "huntd_queue_length", "", "Requests waiting for a worker."},
    {Gauge::redis_up, "huntd_redis_up", "", "1 where the core's connection to Redis is ready."},
    {Gauge::kafka_in_flight, "huntd_kafka_in_flight", "",
     "Events handed to Kafka, not yet answered."},
    {Gauge::outbox_pending, "huntd_outbox_pending", "",
     "Events in the outboxes of this core's buckets, counted every few seconds."},
    {Gauge::draining, "huntd_draining", "", "1 while the core lets its work finish."},
}};

namespace stats_detail {
template <class Rows>
constexpr bool rows_in_order(const Rows& rows) {
  for (size_t i = 0; i < rows.size(); ++i)
    if (static_cast<size_t>(rows[i].which) != i) return false;
  return true;
}
// Prometheus wants all samples of one metric together.
template <class Rows>
constexpr bool rows_grouped(const Rows& rows) {
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].metric == rows[i - 1].metric) continue;
    for (size_t j = 0; j < i; ++j)
      if (rows[j].metric == rows[i].metric) return false;
  }
  return true;
}
}  // namespace stats_detail
static_assert(stats_detail::rows_in_order(counter_rows) &&
              stats_detail::rows_grouped(counter_rows));
static_assert(stats_detail::rows_in_order(gauge_rows) && stats_detail::rows_grouped(gauge_rows));

// Where a core is in its life. The core writes it; its parent writes down.
enum class CoreState : uint8_t {
  starting,  // not serving yet
  ready,     // serves
  degraded,  // serves what it can: a dependency is away
  draining,  // lets its work finish, takes no more
  down,      // no process
};
inline constexpr std::array<std::string_view, 5> core_state_names = {
    "starting", "ready", "degraded", "draining", "down"};
static_assert(static_cast<size_t>(CoreState::down) + 1 == core_state_names.size());

// A short text in shared memory that one process writes and others read whole: a version that is
// odd while the text changes, and readers who try again (a seqlock; Boehm, MSPC 2012). Zeroed
// memory is the empty text.
class SharedName {
 public:
  static constexpr size_t bytes_max = 32;

  // Longer text is cut.
  void set(std::string_view text);
  std::string get() const;

 private:
  uint64_t version_;
  uint64_t words_[bytes_max / sizeof(uint64_t)];  // zero bytes after the text
};

// One core's part of the shared region.
class alignas(64) CoreStats {
 public:
  // By the core only.
  void record(Stage stage, uint64_t value_ns) {
    stages_[static_cast<size_t>(stage)].record(value_ns);
  }
  void add(Counter counter, uint64_t n = 1) { counters_[static_cast<size_t>(counter)].add(n); }
  void set(Gauge gauge, uint64_t value) { gauges_[static_cast<size_t>(gauge)].store(value); }

  const Histogram& stage(Stage stage) const { return stages_[static_cast<size_t>(stage)]; }
  uint64_t value(Counter counter) const { return counters_[static_cast<size_t>(counter)].load(); }
  uint64_t value(Gauge gauge) const { return gauges_[static_cast<size_t>(gauge)].load(); }

  CoreState state() const { return static_cast<CoreState>(state_.load()); }
  void set_state(CoreState state) { state_.store(static_cast<uint64_t>(state)); }

  // By the core, first of all after its fork: it is starting, and its gauges are 0.
  void note_start(int new_pid, uint32_t new_cpu, int64_t new_started_at_ms);
  // By the parent, when the core's process has ended.
  void note_end();

  ScriptFailures failures;  // by the core
  SharedName bundle;        // 32 hex digits of the bundle that new hunts run; by the core
  SharedWord heartbeat_ns;  // CLOCK_MONOTONIC at the last tick; by the core
  SharedWord pid;           // 0 for none
  SharedWord cpu;
  SharedWord started_at_ms;  // since the epoch
  SharedWord starts;         // forks so far: restarts + 1; by the parent

 private:
  SharedWord state_;
  std::array<SharedWord, gauges> gauges_;
  std::array<SharedWord, counters> counters_;
  std::array<Histogram, stage_names.size()> stages_;
};

}  // namespace huntd
