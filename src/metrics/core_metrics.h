// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms of one core, in shared memory. The core writes them (its parent
// writes a few members of CoreMetrics); the admin process reads them. To add a counter or a gauge,
// add a name to the enum and a row to the table, then run ./dev docs.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "metrics/error_table.h"
#include "metrics/histogram.h"
#include "metrics/hunt_lines.h"
#include "metrics/hunt_table.h"
#include "metrics/loot_table.h"
#include "metrics/script_failures.h"
#include "metrics/shared_text.h"
#include "metrics/shared_word.h"

namespace huntd {

// The stages of latency; docs/latency.md defines the start and the end of each.
enum class Stage : uint8_t { queue, worker_start, script, redis_commit, kafka_ack, request, tick };

inline constexpr std::array<std::string_view, 7> stage_names = {
    "queue", "worker_start", "script", "redis_commit", "kafka_ack", "request", "tick"};
static_assert(static_cast<size_t>(Stage::tick) + 1 == stage_names.size());

// Never decreases, not even when the core restarts.
enum class Counter : uint8_t {
  hunts_ok,
  hunts_replayed,
  hunts_rejected,
  hunts_script_error,
  hunts_out_of_memory,
  hunts_deadline,
  hunts_shed_queue_full,
  hunts_shed_queue_deadline,
  hunts_shed_standing_queue,
  hunts_shed_hunter_queue,
  hunts_shed_late,
  hunts_shed_link_full,
  hunts_redis_unavailable,
  hunts_outcome_unknown,
  hunts_conflict,
  hunts_no_such_hunt,
  hunts_key_reused,
  hunts_bad_input,
  hunts_worker_died,
  hunts_core_down,
  hunts_closed,
  hunts_held_full,
  hunts_supplies_full,
  hunts_rate_limited,
  hunts_disabled,
  hunts_not_started,
  hunts_ended,
  hunts_not_selected,
  hunts_hunter_limit,
  hunts_busy,
  hunts_owner,
  runs_process,
  runs_fork,
  runs_task,
  runs_batch,
  http_2xx,
  http_4xx,
  http_5xx,
  http_bad_requests,
  auth_no_token,
  auth_bad_token,
  auth_expired,
  auth_forbidden,
  auth_scope,
  auth_revoked,
  jwt_verified,
  jwt_remembered,
  request_bytes,
  response_bytes,
  response_sends,
  connections_accepted,
  connections_handed_over,
  connections_closed,
  connections_rejected,
  requests_over_address_limit,
  proxy_headers_rejected,
  rate_limited_hunter,
  rate_limited_token,
  rate_limited_hunt,
  expired_first_byte,
  expired_idle,
  expired_request,
  expired_response,
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
  redis_wait_failures,
  redis_lineage_changes,
  redis_redirects,
  kafka_produced,
  kafka_acked,
  kafka_failed,
  rest_stored,
  rest_not_stored,
  rest_unknown,
  rest_rejected,
  outbox_swept,
  bundle_swaps,
  ticks,
  ticks_long_ran,
  ticks_long_waited,
  ticks_long_stalled,
  log_lines_dropped,
  count_,
};

// A number that goes up and down.
enum class Gauge : uint8_t {
  connections_open,
  workers_live,
  queue_length,
  redis_up,
  redis_memory_used_bytes,
  redis_memory_max_bytes,
  redis_nodes,
  redis_nodes_usable,
  worker_start_failure,
  kafka_up,
  kafka_in_flight,
  outbox_pending,
  draining,
  count_,
};

// How /metrics and its reference show one counter or gauge. Rows with the same metric name are
// adjacent, differ in `label` and have the same `help`.
template <class E>
struct MetricRow {
  E which;
  std::string_view metric;
  std::string_view label;  // NAME="VALUE", shown after core="N"; empty for none
  std::string_view help;
};

inline constexpr size_t counters = static_cast<size_t>(Counter::count_);
inline constexpr size_t gauges = static_cast<size_t>(Gauge::count_);

namespace metrics_detail {
inline constexpr std::string_view ticks_long_help =
    "Ticks that took more than 5 ms, by reason: the core ran, waited for a CPU that other "
    "processes used, or stalled (it was stopped or blocked, or the hypervisor ran another guest).";
inline constexpr std::string_view hunts_help = "Hunts, by outcome.";
inline constexpr std::string_view runs_help = "Runs of a script, by isolation mode.";
inline constexpr std::string_view auth_help =
    "Requests rejected by authentication, by reason: 401, or 403 for another hunter's token and for "
    "a hunt that the token does not name (`scope`).";
inline constexpr std::string_view jwt_help =
    "JSON Web Tokens of requests: their signature was verified, or the core remembered the token.";
inline constexpr std::string_view http_help = "HTTP responses sent, by class of status code.";
inline constexpr std::string_view expired_help =
    "Connections closed by a deadline, by what did not happen in time.";
inline constexpr std::string_view rest_help =
    "Records of produce calls (POST /topics/...), by the outcome in the response.";
inline constexpr std::string_view rate_help =
    "Runs and reads above a limit of [rate], by the limit: 429.";
inline constexpr std::string_view supply_help = "Draws on a shared supply, by result.";
}  // namespace metrics_detail

inline constexpr std::array<MetricRow<Counter>, counters> counter_rows = {{
    {Counter::hunts_ok, "huntd_hunts_total", R"(outcome="ok")", metrics_detail::hunts_help},
    {Counter::hunts_replayed, "huntd_hunts_total", R"(outcome="replayed")",
     metrics_detail::hunts_help},
    {Counter::hunts_rejected, "huntd_hunts_total", R"(outcome="rejected")",
     metrics_detail::hunts_help},
    {Counter::hunts_script_error, "huntd_hunts_total", R"(outcome="script_error")",
     metrics_detail::hunts_help},
    {Counter::hunts_out_of_memory, "huntd_hunts_total", R"(outcome="out_of_memory")",
     metrics_detail::hunts_help},
    {Counter::hunts_deadline, "huntd_hunts_total", R"(outcome="deadline")",
     metrics_detail::hunts_help},
    {Counter::hunts_shed_queue_full, "huntd_hunts_total", R"(outcome="shed_queue_full")",
     metrics_detail::hunts_help},
    {Counter::hunts_shed_queue_deadline, "huntd_hunts_total", R"(outcome="shed_queue_deadline")",
     metrics_detail::hunts_help},
    {Counter::hunts_shed_standing_queue, "huntd_hunts_total", R"(outcome="shed_standing_queue")",
     metrics_detail::hunts_help},
    {Counter::hunts_shed_hunter_queue, "huntd_hunts_total", R"(outcome="shed_hunter_queue")",
     metrics_detail::hunts_help},
    {Counter::hunts_shed_late, "huntd_hunts_total", R"(outcome="shed_late")",
     metrics_detail::hunts_help},
    {Counter::hunts_shed_link_full, "huntd_hunts_total", R"(outcome="shed_link_full")",
     metrics_detail::hunts_help},
    {Counter::hunts_redis_unavailable, "huntd_hunts_total", R"(outcome="redis_unavailable")",
     metrics_detail::hunts_help},
    {Counter::hunts_outcome_unknown, "huntd_hunts_total", R"(outcome="outcome_unknown")",
     metrics_detail::hunts_help},
    {Counter::hunts_conflict, "huntd_hunts_total", R"(outcome="conflict")",
     metrics_detail::hunts_help},
    {Counter::hunts_no_such_hunt, "huntd_hunts_total", R"(outcome="no_such_hunt")",
     metrics_detail::hunts_help},
    {Counter::hunts_key_reused, "huntd_hunts_total", R"(outcome="key_reused")",
     metrics_detail::hunts_help},
    {Counter::hunts_bad_input, "huntd_hunts_total", R"(outcome="bad_input")",
     metrics_detail::hunts_help},
    {Counter::hunts_worker_died, "huntd_hunts_total", R"(outcome="worker_died")",
     metrics_detail::hunts_help},
    {Counter::hunts_core_down, "huntd_hunts_total", R"(outcome="core_down")",
     metrics_detail::hunts_help},
    {Counter::hunts_closed, "huntd_hunts_total", R"(outcome="closed")", metrics_detail::hunts_help},
    {Counter::hunts_held_full, "huntd_hunts_total", R"(outcome="held_full")",
     metrics_detail::hunts_help},
    {Counter::hunts_supplies_full, "huntd_hunts_total", R"(outcome="supplies_full")",
     metrics_detail::hunts_help},
    {Counter::hunts_rate_limited, "huntd_hunts_total", R"(outcome="rate_limited")",
     metrics_detail::hunts_help},
    {Counter::hunts_disabled, "huntd_hunts_total", R"(outcome="disabled")",
     metrics_detail::hunts_help},
    {Counter::hunts_not_started, "huntd_hunts_total", R"(outcome="not_started")",
     metrics_detail::hunts_help},
    {Counter::hunts_ended, "huntd_hunts_total", R"(outcome="ended")", metrics_detail::hunts_help},
    {Counter::hunts_not_selected, "huntd_hunts_total", R"(outcome="not_selected")",
     metrics_detail::hunts_help},
    {Counter::hunts_hunter_limit, "huntd_hunts_total", R"(outcome="hunter_limit")",
     metrics_detail::hunts_help},
    {Counter::hunts_busy, "huntd_hunts_total", R"(outcome="busy")", metrics_detail::hunts_help},
    {Counter::hunts_owner, "huntd_hunts_owner_total", "",
     "Hunts that ran on the owner core of their hunter."},
    {Counter::runs_process, "huntd_worker_runs_total", R"(isolation="process")",
     metrics_detail::runs_help},
    {Counter::runs_fork, "huntd_worker_runs_total", R"(isolation="fork")",
     metrics_detail::runs_help},
    {Counter::runs_task, "huntd_worker_runs_total", R"(isolation="task")",
     metrics_detail::runs_help},
    {Counter::runs_batch, "huntd_worker_runs_total", R"(isolation="batch")",
     metrics_detail::runs_help},
    {Counter::http_2xx, "huntd_http_requests_total", R"(code="2xx")", metrics_detail::http_help},
    {Counter::http_4xx, "huntd_http_requests_total", R"(code="4xx")", metrics_detail::http_help},
    {Counter::http_5xx, "huntd_http_requests_total", R"(code="5xx")", metrics_detail::http_help},
    {Counter::http_bad_requests, "huntd_http_bad_requests_total", "",
     "Requests that violated HTTP/1.1; their connections were closed."},
    {Counter::auth_no_token, "huntd_auth_rejected_total", R"(reason="no_token")",
     metrics_detail::auth_help},
    {Counter::auth_bad_token, "huntd_auth_rejected_total", R"(reason="bad_token")",
     metrics_detail::auth_help},
    {Counter::auth_expired, "huntd_auth_rejected_total", R"(reason="expired")",
     metrics_detail::auth_help},
    {Counter::auth_forbidden, "huntd_auth_rejected_total", R"(reason="forbidden")",
     metrics_detail::auth_help},
    {Counter::auth_scope, "huntd_auth_rejected_total", R"(reason="scope")",
     metrics_detail::auth_help},
    {Counter::auth_revoked, "huntd_auth_rejected_total", R"(reason="revoked")",
     metrics_detail::auth_help},
    {Counter::jwt_verified, "huntd_jwt_checks_total", R"(by="signature")",
     metrics_detail::jwt_help},
    {Counter::jwt_remembered, "huntd_jwt_checks_total", R"(by="cache")", metrics_detail::jwt_help},
    {Counter::request_bytes, "huntd_http_request_bytes_total", "", "Bytes received from clients."},
    {Counter::response_bytes, "huntd_http_response_bytes_total", "", "Bytes sent to clients."},
    {Counter::response_sends, "huntd_http_response_sends_total", "",
     "Sends to clients; each has all responses that wait to be sent."},
    {Counter::connections_accepted, "huntd_connections_accepted_total", "",
     "Connections accepted."},
    {Counter::connections_handed_over, "huntd_connections_handed_over_total", "",
     "Connections handed over to their hunter's owner core."},
    {Counter::connections_closed, "huntd_connections_closed_total", "", "Connections closed."},
    {Counter::connections_rejected, "huntd_connections_rejected_total", "",
     "Connections above http.connections_per_address_max or http.connections_max."},
    {Counter::requests_over_address_limit, "huntd_requests_over_address_limit_total", "",
     "Requests through a trusted proxy above http.connections_per_address_max."},
    {Counter::proxy_headers_rejected, "huntd_proxy_headers_rejected_total", "",
     "Connections of http.trusted_proxies closed because they had no valid header of the PROXY "
     "protocol."},
    {Counter::rate_limited_hunter, "huntd_rate_limited_total", R"(limit="hunter")",
     metrics_detail::rate_help},
    {Counter::rate_limited_token, "huntd_rate_limited_total", R"(limit="token")",
     metrics_detail::rate_help},
    {Counter::rate_limited_hunt, "huntd_rate_limited_total", R"(limit="hunt")",
     metrics_detail::rate_help},
    {Counter::expired_first_byte, "huntd_connections_expired_total", R"(reason="first_byte")",
     metrics_detail::expired_help},
    {Counter::expired_idle, "huntd_connections_expired_total", R"(reason="next_request")",
     metrics_detail::expired_help},
    {Counter::expired_request, "huntd_connections_expired_total", R"(reason="whole_request")",
     metrics_detail::expired_help},
    {Counter::expired_response, "huntd_connections_expired_total", R"(reason="response_read")",
     metrics_detail::expired_help},
    {Counter::requests_forwarded, "huntd_requests_forwarded_total", "",
     "Requests forwarded to the owner core."},
    {Counter::forward_batches, "huntd_forward_batches_total", "",
     "Packets with forwarded requests or their responses between cores."},
    {Counter::workers_started, "huntd_workers_started_total", "", "hunt_worker processes started."},
    {Counter::workers_killed, "huntd_workers_killed_total", "",
     "hunt_worker processes killed at their deadline."},
    {Counter::workers_died, "huntd_workers_died_total", "",
     "hunt_worker processes that exited without an outcome."},
    {Counter::awards, "huntd_awards_total", "", "Loot awarded."},
    {Counter::supply_granted, "huntd_supply_draws_total", R"(result="granted")",
     metrics_detail::supply_help},
    {Counter::supply_gone, "huntd_supply_draws_total", R"(result="gone")",
     metrics_detail::supply_help},
    {Counter::supply_released, "huntd_supply_draws_total", R"(result="released")",
     metrics_detail::supply_help},
    {Counter::redis_commands, "huntd_redis_commands_total", "", "Commands sent to Redis."},
    {Counter::redis_batches, "huntd_redis_batches_total", "",
     "Writes to Redis; each has all commands of a tick."},
    {Counter::redis_reconnects, "huntd_redis_reconnects_total", "",
     "Connections to Redis after the first."},
    {Counter::redis_noscript, "huntd_redis_noscript_total", "",
     "Commits whose script Redis did not have (NOSCRIPT)."},
    {Counter::redis_wait_failures, "huntd_redis_wait_failures_total", "",
     "Batches of commits that redis.wait_replicas replicas did not have within redis.wait_ms."},
    {Counter::redis_lineage_changes, "huntd_redis_lineage_changes_total", "",
     "Restarts and replacements of Redis that the core noticed: awards may be lost."},
    {Counter::redis_redirects, "huntd_redis_redirects_total", "",
     "Replies of a cluster that a slot is, or will be, at another node (MOVED, ASK, TRYAGAIN)."},
    {Counter::kafka_produced, "huntd_kafka_produced_total", "",
     "Events passed to the Kafka producer."},
    {Counter::kafka_acked, "huntd_kafka_acked_total", "", "Events that Kafka acknowledged."},
    {Counter::kafka_failed, "huntd_kafka_failed_total", "",
     "Events that Kafka did not acknowledge; they stay in the outbox."},
    {Counter::rest_stored, "huntd_kafka_rest_records_total", R"(outcome="stored")",
     metrics_detail::rest_help},
    {Counter::rest_not_stored, "huntd_kafka_rest_records_total", R"(outcome="not_stored")",
     metrics_detail::rest_help},
    {Counter::rest_unknown, "huntd_kafka_rest_records_total", R"(outcome="unknown")",
     metrics_detail::rest_help},
    {Counter::rest_rejected, "huntd_kafka_rest_rejected_total", "",
     "Produce calls rejected as a whole: no such topic, or a record that is not a loot event."},
    {Counter::outbox_swept, "huntd_outbox_swept_total", "", "Events that the sweep emitted again."},
    {Counter::bundle_swaps, "huntd_bundle_swaps_total", "", "Bundles that replaced another one."},
    {Counter::ticks, "huntd_ticks_total", "", "Ticks of the core's loop."},
    {Counter::ticks_long_ran, "huntd_ticks_long_total", R"(reason="ran")",
     metrics_detail::ticks_long_help},
    {Counter::ticks_long_waited, "huntd_ticks_long_total", R"(reason="waited")",
     metrics_detail::ticks_long_help},
    {Counter::ticks_long_stalled, "huntd_ticks_long_total", R"(reason="stalled")",
     metrics_detail::ticks_long_help},
    {Counter::log_lines_dropped, "huntd_log_lines_dropped_total", "",
     "Log lines of the core that were dropped because the log was not read, or its disk was full."},
}};

inline constexpr std::array<MetricRow<Gauge>, gauges> gauge_rows = {{
    {Gauge::connections_open, "huntd_connections_open", "", "Open connections."},
    {Gauge::workers_live, "huntd_workers_live", "", "Live hunt_worker processes."},
    {Gauge::queue_length, "huntd_queue_length", "", "Requests waiting for a worker."},
    {Gauge::redis_up, "huntd_redis_up", "",
     "1 if the core is connected to a Redis that it can use."},
    {Gauge::redis_memory_used_bytes, "huntd_redis_memory_used_bytes", "",
     "Memory that Redis uses, by its INFO; read every 5 s."},
    {Gauge::redis_memory_max_bytes, "huntd_redis_memory_max_bytes", "",
     "Redis' maxmemory; 0: no limit."},
    {Gauge::redis_nodes, "huntd_redis_nodes", "",
     "Primaries of the cluster that have slots; 0 without redis.cluster."},
    {Gauge::redis_nodes_usable, "huntd_redis_nodes_usable", "",
     "Those of them that the core can use."},
    {Gauge::worker_start_failure, "huntd_worker_start_failure", "",
     "0 if workers can be started; else the errno of the latest start, 65535 if the process that "
     "starts them does not answer, or 65536 plus the wait status of a worker that exited before it "
     "had a job."},
    {Gauge::kafka_up, "huntd_kafka_up", "",
     "0 if Kafka cannot be reached or takes no events, which then wait in the outbox. Otherwise 1, "
     "also without Kafka."},
    {Gauge::kafka_in_flight, "huntd_kafka_in_flight", "",
     "Events passed to Kafka and not yet acknowledged."},
    {Gauge::outbox_pending, "huntd_outbox_pending", "",
     "Events in the outboxes of this core's buckets, counted every few seconds."},
    {Gauge::draining, "huntd_draining", "", "1 while the core drains."},
}};

namespace metrics_detail {
template <class Rows>
constexpr bool rows_in_order(const Rows& rows) {
  for (size_t i = 0; i < rows.size(); ++i)
    if (static_cast<size_t>(rows[i].which) != i) return false;
  return true;
}
// Prometheus requires that the samples of a metric are adjacent.
template <class Rows>
constexpr bool rows_grouped(const Rows& rows) {
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].metric == rows[i - 1].metric) continue;
    for (size_t j = 0; j < i; ++j)
      if (rows[j].metric == rows[i].metric) return false;
  }
  return true;
}
}  // namespace metrics_detail
static_assert(metrics_detail::rows_in_order(counter_rows) &&
              metrics_detail::rows_grouped(counter_rows));
static_assert(metrics_detail::rows_in_order(gauge_rows) &&
              metrics_detail::rows_grouped(gauge_rows));

// The class of an outcome of a hunt in the figures per hunt; nothing if the counter is not one of
// huntd_hunts_total.
constexpr std::optional<HuntOutcome> hunt_outcome_of(Counter counter) {
  switch (counter) {
    case Counter::hunts_ok:
    case Counter::hunts_replayed:
      return HuntOutcome::ok;
    case Counter::hunts_script_error:
    case Counter::hunts_out_of_memory:
    case Counter::hunts_deadline:
    case Counter::hunts_redis_unavailable:
    case Counter::hunts_outcome_unknown:
    case Counter::hunts_conflict:
    case Counter::hunts_worker_died:
    case Counter::hunts_core_down:
      return HuntOutcome::failed;
    case Counter::hunts_rejected:
    case Counter::hunts_shed_queue_full:
    case Counter::hunts_shed_queue_deadline:
    case Counter::hunts_shed_standing_queue:
    case Counter::hunts_shed_hunter_queue:
    case Counter::hunts_shed_late:
    case Counter::hunts_shed_link_full:
    case Counter::hunts_no_such_hunt:
    case Counter::hunts_key_reused:
    case Counter::hunts_bad_input:
    case Counter::hunts_closed:
    case Counter::hunts_held_full:
    case Counter::hunts_supplies_full:
    case Counter::hunts_rate_limited:
    case Counter::hunts_disabled:
    case Counter::hunts_not_started:
    case Counter::hunts_ended:
    case Counter::hunts_not_selected:
    case Counter::hunts_hunter_limit:
    case Counter::hunts_busy:
      return HuntOutcome::refused;
    default:
      return std::nullopt;
  }
}

namespace metrics_detail {
// So that the figures of all hunts add up to huntd_hunts_total.
constexpr bool outcomes_complete() {
  for (const MetricRow<Counter>& row : counter_rows)
    if ((row.metric == "huntd_hunts_total") != hunt_outcome_of(row.which).has_value()) return false;
  return true;
}
}  // namespace metrics_detail
static_assert(metrics_detail::outcomes_complete());

// The core writes its state; its parent writes `down`.
enum class CoreState : uint8_t {
  starting,  // does not accept connections yet
  ready,
  draining,  // finishes its requests, accepts no more
  down,      // no process
};
inline constexpr std::array<std::string_view, 4> core_state_names = {"starting", "ready",
                                                                     "draining", "down"};
static_assert(static_cast<size_t>(CoreState::down) + 1 == core_state_names.size());

// One core's part of the shared region.
class alignas(64) CoreMetrics {
 public:
  // Only the core calls these three.
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

  // The core calls this first after its fork: sets the state to starting and the gauges to 0.
  void note_start(int new_pid, uint32_t new_cpu, int64_t new_started_at_ms);
  // The parent calls this after the core's process has exited. `how` becomes last_end.
  void note_end(std::string_view how = "");

  ScriptFailures failures;  // by the core
  HuntTable hunts;          // by the core
  ErrorTable errors;        // of scripts, with examples; by the core
  HuntLines lines;          // for those who follow a hunt; by the core
  LootTable loot;           // by the core
  SharedName bundle;        // 32 hex digits of the bundle that new hunts run; by the core
  // Why the core can't use Redis; empty if it can. By the core.
  SharedText<512> redis_reason;
  SharedText<64> redis_server;    // version, role and persistence of the Redis in use; by the core
  SharedText<128> redis_address;  // of the Redis that the core uses or tries; by the core
  SharedText<512> kafka_reason;   // why Kafka takes no events; empty if it does; by the core
  SharedText<192> kafka_address;  // kafka.bootstrap; empty without Kafka; by the core
  SharedText<64> last_end;        // how the process before this one ended; empty for none
  SharedWord heartbeat_ns;        // CLOCK_MONOTONIC at the last tick; by the core
  SharedWord pid;                 // 0 for none
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
