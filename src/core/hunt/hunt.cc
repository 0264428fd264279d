// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/hunt.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "base/check.h"
#include "base/format_text.h"
#include "base/hash.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/trace_context.h"
#include "core/hunt/failed_run.h"
#include "core/hunt/run_worker.h"
#include "http/problem.h"
#include "wire/json_value.h"

namespace huntd::server {
namespace {

using End = RunResult::End;

// A run is repeated if the hunter's loot changed after the script read it.
constexpr int attempts_max = 2;

// One way to end a hunt without an award: the counter of its outcome, and the problem of its
// response.
struct Ending {
  Counter counter;
  Problem problem;
  std::string_view detail;
};

constexpr Ending ended_hunter_busy = {Counter::hunts_shed_late, Problem::overloaded,
                                      "the hunter's earlier requests took too long"};
constexpr Ending ended_late = {Counter::hunts_shed_late, Problem::overloaded,
                               "it waited too long to start a hunt"};
constexpr Ending ended_late_commit = {Counter::hunts_shed_late, Problem::overloaded,
                                      "nothing was awarded: it took too long"};
constexpr Ending ended_queue_full = {Counter::hunts_shed_queue_full, Problem::overloaded,
                                     "the queue is full"};
constexpr Ending ended_queue_deadline = {Counter::hunts_shed_queue_deadline, Problem::overloaded,
                                         "no worker became free within the queue's deadline"};
constexpr Ending ended_standing_queue = {Counter::hunts_shed_standing_queue, Problem::overloaded,
                                         "more hunts arrive than can be served; try again later"};
constexpr Ending ended_redis_unavailable = {Counter::hunts_redis_unavailable,
                                            Problem::redis_unavailable, "nothing was awarded"};
constexpr Ending ended_conflict = {Counter::hunts_conflict, Problem::conflict,
                                   "nothing was awarded; try again"};
constexpr Ending ended_closed = {Counter::hunts_closed, Problem::hunt_closed,
                                 "nothing was awarded: the hunt is closed"};
constexpr Ending ended_key_reused = {
    Counter::hunts_key_reused, Problem::key_reused,
    "this Idempotency-Key was first used with other JSON; use a new key only for a new request"};

constexpr Ending ended_disabled = {Counter::hunts_disabled, Problem::hunt_disabled,
                                   "nothing was awarded: the hunt is disabled"};
constexpr Ending ended_not_started = {Counter::hunts_not_started, Problem::hunt_not_started,
                                      "nothing was awarded: the hunt has not started"};
constexpr Ending ended_ended = {Counter::hunts_ended, Problem::hunt_ended,
                                "nothing was awarded: the hunt has ended"};
constexpr Ending ended_not_selected = {Counter::hunts_not_selected, Problem::not_selected,
                                       "nothing was awarded: the hunt is not open to this hunter"};
constexpr Ending ended_busy = {Counter::hunts_busy, Problem::hunt_busy,
                               "as many requests of this hunt as may run at the same time"};

Ending ending_of(WorkerPool::Rejection rejection) {
  switch (rejection) {
    case WorkerPool::Rejection::queue_full:
      return ended_queue_full;
    case WorkerPool::Rejection::queue_deadline:
      return ended_queue_deadline;
    case WorkerPool::Rejection::late:
      return ended_late;
    case WorkerPool::Rejection::standing_queue:
    case WorkerPool::Rejection::none:
      break;
  }
  return ended_standing_queue;
}

// The counter and the problem of a run that failed, with the run's own reason as the detail.
Ending ending_of(const RunResult& run) {
  switch (run.end) {
    case End::rejected:
      return {Counter::hunts_rejected, Problem::rejected, run.reason};
    case End::script_error:
      return {Counter::hunts_script_error, Problem::script_failed, run.reason};
    case End::out_of_memory:
      return {Counter::hunts_out_of_memory, Problem::script_out_of_memory, run.reason};
    case End::deadline:
      return {Counter::hunts_deadline, Problem::deadline_passed, run.reason};
    case End::late:
      return {Counter::hunts_shed_late, Problem::overloaded, run.reason};
    case End::redis_unavailable:
      return ended_redis_unavailable;
    case End::held_full:
      return {Counter::hunts_held_full, Problem::held_full, run.reason};
    case End::supplies_full:
      return {Counter::hunts_supplies_full, Problem::supplies_full, run.reason};
    case End::no_such_hunt:
      return {Counter::hunts_no_such_hunt, Problem::no_such_hunt, run.reason};
    case End::not_started:
      return {Counter::hunts_worker_died, Problem::overloaded, run.reason};
    case End::forbidden_call:
    case End::broken_frame:
    case End::worker_died:
    case End::ok:
      break;
  }
  return {Counter::hunts_worker_died, Problem::worker_died, run.reason};
}

// How a failed run is counted per script and logged; nothing if the script or its worker did not
// cause the end.
std::optional<FailureReason> failure_reason(End end) {
  switch (end) {
    case End::script_error:
      return FailureReason::script_error;
    case End::out_of_memory:
      return FailureReason::out_of_memory;
    case End::deadline:
      return FailureReason::deadline;
    case End::forbidden_call:
      return FailureReason::forbidden_call;
    case End::broken_frame:
      return FailureReason::broken_frame;
    case End::worker_died:
      return FailureReason::worker_died;
    case End::ok:
    case End::rejected:
    case End::late:
    case End::not_started:
    case End::redis_unavailable:
    case End::held_full:
    case End::supplies_full:
    case End::no_such_hunt:
      break;
  }
  return std::nullopt;
}

// For Retry-After, rounded up: a client that waits so long comes in time.
uint32_t seconds_of(uint64_t ms) {
  return static_cast<uint32_t>(std::min<uint64_t>((ms + 999) / 1000, UINT32_MAX));
}

// The line number in "HUNT.lua:LINE: message", else 0. The text comes from the worker, so it may be
// anything.
uint32_t line_of(std::string_view reason, std::string_view hunt_id) {
  constexpr std::string_view after_hunt = ".lua:";
  if (!reason.starts_with(hunt_id) || !reason.substr(hunt_id.size()).starts_with(after_hunt))
    return 0;
  reason.remove_prefix(hunt_id.size() + after_hunt.size());
  uint32_t line = 0;
  auto const [end, error] = std::from_chars(reason.data(), reason.data() + reason.size(), line);
  bool const is_line = error == std::errc{} && line <= limits::script_bytes_max &&
                       (end == reason.data() + reason.size() || *end == ':');
  return is_line ? line : 0;
}

// Appends the awards of a run, or what it takes. An award of one unit has no count.
void append_awards(PoolString& body, const PoolVector<Award>& awards, bool taken) {
  bool first = true;
  for (const Award& award : awards) {
    if ((award.units < 0) != taken) continue;
    append_format(body, R"({}{{"loot_id":"{}",)", first ? "" : ",", award.loot_id);
    if (award.units != 1) append_format(body, R"("count":{},)", std::abs(award.units));
    append_format(body, R"("event_id":"{}"}})", award.event_id);
    first = false;
  }
}

uint64_t units_given(const PoolVector<Award>& awards) {
  uint64_t units = 0;
  for (const Award& award : awards)
    if (award.units > 0) units += static_cast<uint64_t>(award.units);
  return units;
}

// The body of the response to a hunt that ran. A replay of it differs only in `replayed`.
PoolString body_of(const RequestName& name, const RunResult& run) {
  PoolString body = format_text(R"({{"request_id":"{}","hunt_id":"{}","hunter_id":"{}","loot":[)",
                                name.request_id, name.hunt_id, name.hunter_id);
  append_awards(body, run.awards, false);
  auto const takes = [](const Award& award) { return award.units < 0; };
  if (std::any_of(run.awards.begin(), run.awards.end(), takes)) {
    body += R"(],"taken":[)";
    append_awards(body, run.awards, true);
  }
  body += R"(],"result":)";
  body += run.result;
  body += R"(,"replayed":false})";
  return body;
}

// One request in run_hunt(): what is known of it, and the steps between two waits.
struct Hunt {
  HuntContext& context;
  RequestName name;
  bool keyed;  // the client sent an Idempotency-Key
  uint64_t received_at_ns;
  uint64_t deadline_at_ns;
  uint64_t start_by_ns;   // later, no worker is started
  uint64_t bytes_hash;    // of the request's body, for records of an older huntd
  uint64_t body_hash;     // the same until reject_early() has set the hash of its value
  std::string_view body;  // of the request, which outlives the hunt
  PoolString input;       // the body as a value (wire/value.h); empty: none
  bool got_worker = false;
  // As in HuntReport.
  std::array<uint64_t, 4> stage_ns = {};

  Hunt(HuntContext& its_context, HuntRequest& request);

  std::optional<Response> reject_early();
  std::optional<Response> reject_behind_others() const;
  std::optional<Response> reject_run() const;
  const RunRules& rules() const;
  std::optional<Response> reject_by_opening() const;
  std::optional<Response> reject_by_count() const;
  Response end_without_states() const;
  bool closed() const { return context.ledger.hunt_states().of(name.hunt_id).closed; }
  Response end(const Ending& ending) const;
  Response end_unknown() const;
  Response replay(const ResponseRecord& record) const;

  // Whether the run has to be committed: it made awards, changed its state, or its response must be
  // stored for retries.
  bool must_commit(const RunResult& run) const;
  Response response_to(const RunResult& run) const;
  Response end_uncommitted(RunResult& run);
  Response end_failed(RunResult& run);
  Response end_committed(const RunResult& run, Response response) const;
  Response end_full(RunResult& run, std::string_view loot_id) const;
  Response conclude(RunResult& run, CommitResult& committed, Response response);

  void count_run() const {
    context.run_limits.count(rules(), name.hunt_id, name.hunter_id, context.clock.now_ns());
  }
  void note(Stage stage, uint64_t ns) { stage_ns[static_cast<size_t>(stage)] = ns; }
  void report(Response& response, Counter outcome) const;
  void release(RunResult& run) const;
  void log_failure(const RunResult& run, FailureReason reason) const;
  bool may_log_failure() const { return context.failure_log_budget.take(context.clock.now_ns()); }
};

Hunt::Hunt(HuntContext& its_context, HuntRequest& request)
    : context(its_context),
      name{std::move(request.hunt_id), std::move(request.hunter_id),
           std::move(request.idempotency_key), std::move(request.request_id),
           std::move(request.trace_context)},
      keyed(!name.key.empty()),
      received_at_ns(request.received_at_ns),
      deadline_at_ns(its_context.deadline_at_ns(request.received_at_ns)),
      start_by_ns(its_context.start_by_ns(request.received_at_ns)),
      bytes_hash(hash64(request.body)),
      body_hash(bytes_hash),
      body(request.body) {
  if (!keyed) name.key = name.request_id;
}

// The response if the request can be rejected without a wait. Otherwise sets `input` and
// `body_hash`.
std::optional<Response> Hunt::reject_early() {
  if (!keyed && context.bundle.find(name.hunt_id) == nullptr)
    return end({Counter::hunts_no_such_hunt, Problem::no_such_hunt, name.hunt_id});
  if (!keyed)
    if (std::optional<Response> rejected = reject_by_opening()) return rejected;
  // A request with a key is looked up first: its retry gets the stored response even under
  // overload.
  if (!keyed && context.workers.sheds_now()) return end(ended_standing_queue);
  if (std::optional<Response> rejected = reject_behind_others()) return rejected;
  if (!body.empty()) {
    Result<PoolString> value = encode_json_value(body);
    if (!value)
      return end({Counter::hunts_bad_input, Problem::invalid_json, value.error().message});
    input = std::move(*value);
    body_hash = hash_value(input);
  }
  if (!context.ledger.up(name.hunter_id) && !context.ledger.returning(name.hunter_id))
    return end(ended_redis_unavailable);
  return std::nullopt;
}

// The response if too many requests of the hunter wait already. Also with a key: its look-up would
// wait behind them.
std::optional<Response> Hunt::reject_behind_others() const {
  size_t const ahead = context.hunter_queue.waiting(name.hunter_id);
  if (ahead < context.workers.limits().hunter_queue_max) return std::nullopt;
  PoolString const detail = format_text("{} requests of this hunter wait already", ahead);
  return end({Counter::hunts_shed_hunter_queue, Problem::overloaded, detail});
}

// The response if a request whose response is not stored can't run. The script of a stored response
// may be gone, and Redis may be read from although commits are rejected.
std::optional<Response> Hunt::reject_run() const {
  if (context.bundle.find(name.hunt_id) == nullptr)
    return end({Counter::hunts_no_such_hunt, Problem::no_such_hunt, name.hunt_id});
  if (context.ledger.up(name.hunter_id) && !context.ledger.suitable(name.hunter_id)) {
    PoolString const detail =
        format_text("nothing was awarded: {}", context.ledger.unsuitable_reason(name.hunter_id));
    return end({Counter::hunts_redis_unavailable, Problem::redis_unavailable, detail});
  }
  if (context.clock.now_ns() > start_by_ns) return end(ended_late);
  if (std::optional<Response> rejected = reject_by_opening()) return rejected;
  return reject_by_count();
}

// Those of NAME.toml. A reload may take the hunt away while its request waits.
const RunRules& Hunt::rules() const {
  static const RunRules none;
  const BundledHunt* const hunt = context.bundle.find(name.hunt_id);
  return hunt == nullptr ? none : hunt->rules;
}

// The response if the hunt is not open, or not to this hunter.
std::optional<Response> Hunt::reject_by_opening() const {
  int64_t const now_ms = context.clock.wall_ms();
  switch (opening_of(rules(), name.hunt_id, name.hunter_id, now_ms)) {
    case Opening::open:
      return std::nullopt;
    case Opening::disabled:
      return end(ended_disabled);
    case Opening::ended:
      return end(ended_ended);
    case Opening::not_selected:
      return end(ended_not_selected);
    case Opening::not_started:
      break;
  }
  Response response = end(ended_not_started);
  response.retry_after_s = seconds_of(static_cast<uint64_t>(rules().starts_ms - now_ms));
  return response;
}

// The response if the hunter has used up the runs of an hour or a day.
std::optional<Response> Hunt::reject_by_count() const {
  RunLimits::Wait const wait =
      context.run_limits.wait(rules(), name.hunt_id, name.hunter_id, context.clock.now_ns());
  if (wait.ns == 0) return std::nullopt;
  PoolString const detail =
      format_text("nothing was awarded: the hunter has used up {} of this hunt", wait.limit);
  Response response = end({Counter::hunts_hunter_limit, Problem::hunter_limit, detail});
  response.retry_after_s = seconds_of(wait.ns / ns_per_ms + 1);
  return response;
}

// The response if it is not known whether the hunt is closed.
Response Hunt::end_without_states() const {
  std::string_view const reason = context.ledger.hunt_states().reason();
  if (reason.empty() || !context.ledger.up(name.hunter_id)) return end(ended_redis_unavailable);
  PoolString const detail = format_text("nothing was awarded: {}", reason);
  return end({Counter::hunts_redis_unavailable, Problem::redis_unavailable, detail});
}

Response Hunt::end(const Ending& ending) const {
  context.metrics.add(ending.counter);
  Response response = problem_response(ending.problem, ending.detail);
  if (keyed && response.status == 503)
    response = problem_response(ending.problem, detail_of_attempt(ending.detail));
  response.bundle = context.bundle.name();
  report(response, ending.counter);
  return response;
}

Response Hunt::end_unknown() const {
  context.metrics.add(Counter::hunts_outcome_unknown);
  Response response = outcome_unknown(keyed, name.request_id);
  report(response, Counter::hunts_outcome_unknown);
  response.bundle = context.bundle.name();
  return response;
}

Response Hunt::replay(const ResponseRecord& record) const {
  bool const of_bytes = record.hashed == ResponseRecord::Hashed::bytes;
  if (record.body_hash != (of_bytes ? bytes_hash : body_hash)) return end(ended_key_reused);
  context.metrics.add(Counter::hunts_replayed);
  Response response;
  report(response, Counter::hunts_replayed);
  response.status = record.status;
  response.bundle = record.bundle;
  response.body = record.body;
  constexpr std::string_view not_replayed = R"("replayed":false})";
  if (record.status != 200)
    response.content_type = problem_type;
  else if (response.body.ends_with(not_replayed))
    response.body.replace(response.body.size() - not_replayed.size(), not_replayed.size(),
                          R"("replayed":true})");
  return response;
}

bool Hunt::must_commit(const RunResult& run) const {
  bool const keeps = run.state && run.state->json;
  if (run.end == End::ok) return keyed || !run.awards.empty() || keeps;
  return run.end == End::rejected && keyed;
}

Response Hunt::response_to(const RunResult& run) const {
  Response response;
  if (run.end == End::rejected)
    response = problem_response(Problem::rejected, run.reason);
  else
    response.body = body_of(name, run);
  response.bundle = run.bundle;
  return response;
}

Response Hunt::end_uncommitted(RunResult& run) {
  release(run);
  if (run.end != End::ok) return end_failed(run);
  context.metrics.add(Counter::hunts_ok);
  Response response = response_to(run);
  report(response, Counter::hunts_ok);
  return response;
}

Response Hunt::end_failed(RunResult& run) {
  if (run.end == End::deadline)
    run.reason = format_text("the deadline of a hunt is {} ms",
                             rules().deadline_on(context.workers.limits().deadline_ms));
  if (std::optional<FailureReason> const reason = failure_reason(run.end))
    log_failure(run, *reason);
  if (run.end == End::not_started && may_log_failure())
    log::warning("cannot start a worker", {{"hunt_id", name.hunt_id},
                                           {"request_id", name.request_id},
                                           log::if_set("trace_id", trace_id_of(name.trace_context)),
                                           {"error", run.reason}});

  if (run.end == End::out_of_memory)
    run.reason = format_text("a script may use {} bytes",
                             rules().memory_on(context.workers.limits().memory_bytes));
  if (run.end == End::not_started) run.reason = "cannot start a worker: " + run.reason;
  if (run.end == End::no_such_hunt) run.reason = name.hunt_id;
  Ending const ending = ending_of(run);
  if (ending.problem == Problem::worker_died) context.metrics.add(Counter::workers_died);
  Response response = end(ending);
  response.bundle = run.bundle;
  return response;
}

Response Hunt::end_committed(const RunResult& run, Response response) const {
  context.supply.settle(name, run.reservations, keyed);
  Counter const outcome = run.end == End::rejected ? Counter::hunts_rejected : Counter::hunts_ok;
  context.metrics.add(outcome);
  report(response, outcome);
  return response;
}

Response Hunt::end_full(RunResult& run, std::string_view loot_id) const {
  release(run);
  PoolString const detail = format_text(
      "nothing was awarded: {} would hold more than {} different loot_ids in {}; no room for {}",
      name.hunter_id, limits::held_loot_max, name.hunt_id, loot_id);
  return end({Counter::hunts_held_full, Problem::held_full, detail});
}

// The response after a commit that was not a conflict.
Response Hunt::conclude(RunResult& run, CommitResult& committed, Response response) {
  switch (committed.status) {
    case CommitStatus::committed:
      // The events are in the outbox; the emitter sends them with the others of this tick.
      context.emitter.enqueue(std::move(committed.entries));
      context.metrics.add(Counter::awards, units_given(run.awards));
      for (const Award& award : run.awards)
        if (award.units > 0)
          context.metrics.loot.count(name.hunt_id, award.loot_id,
                                     static_cast<uint64_t>(award.units), context.clock.wall_ms());
      return end_committed(run, std::move(response));
    case CommitStatus::replayed:
      // An earlier attempt of this commit, whose reply was lost, was executed; the sweep emits its
      // events.
      if (committed.record->body == response.body) return end_committed(run, std::move(response));
      release(run);  // another attempt was: it has units of its own
      return replay(*committed.record);
    case CommitStatus::full:
      return end_full(run, committed.reason);
    case CommitStatus::closed:
      release(run);
      return end(ended_closed);
    case CommitStatus::late:
      release(run);
      return end(ended_late_commit);
    case CommitStatus::rejected:
      release(run);
      if (may_log_failure())
        log::warning("commit rejected", {{"hunt_id", name.hunt_id},
                                         {"request_id", name.request_id},
                                         log::if_set("trace_id", trace_id_of(name.trace_context)),
                                         {"error", committed.reason}});
      return end(ended_redis_unavailable);
    case CommitStatus::unknown:
    case CommitStatus::conflict:
      break;
  }
  // The units stay reserved until the supply's sweep has found out.
  if (!committed.reason.empty() && may_log_failure())
    log::warning("the outcome of a commit is unknown",
                 {{"hunt_id", name.hunt_id},
                  {"request_id", name.request_id},
                  log::if_set("trace_id", trace_id_of(name.trace_context)),
                  {"error", committed.reason}});
  return end_unknown();
}

// Every hunt calls this once, next to the counter of its outcome.
void Hunt::report(Response& response, Counter outcome) const {
  std::optional<HuntOutcome> const of_hunt = hunt_outcome_of(outcome);
  CHECK(of_hunt);
  std::optional<uint64_t> took_ns;
  if (got_worker) took_ns = context.clock.now_ns() - received_at_ns;
  context.hunt_ranking.count(name.hunt_id, *of_hunt, took_ns);
  report_outcome(response, outcome);
  response.report.stage_ns = stage_ns;
}

void Hunt::release(RunResult& run) const {
  context.supply.release(name, run.reservations);
  run.reservations.clear();
}

// For the operator and the script's author: the log says which request, the metric how often.
void Hunt::log_failure(const RunResult& run, FailureReason reason) const {
  uint32_t const line =
      reason == FailureReason::script_error ? line_of(run.reason, name.hunt_id) : 0;
  context.metrics.failures.add(name.hunt_id, line, reason);
  int64_t const at_ms = context.clock.wall_ms();
  ErrorTable& errors = context.metrics.errors;
  ScriptErrorKind const kind{std::string(name.hunt_id), reason, line, std::string(run.reason)};
  if (std::optional<size_t> const slot = errors.add(kind, at_ms))
    errors.set_sample(*slot, failed_run_json(name, body, run, at_ms), at_ms);
  if (!may_log_failure()) return;
  context.metrics.lines.add(hunt_line_json(name, "error", run.reason, at_ms));
  log::warning("hunt failed", {{"hunt_id", name.hunt_id},
                               {"line", line == 0 ? "" : std::to_string(line)},
                               {"reason", failure_reason_names[static_cast<size_t>(reason)]},
                               {"detail", run.reason},
                               {"hunter_id", name.hunter_id},
                               {"request_id", name.request_id},
                               log::if_set("trace_id", trace_id_of(name.trace_context)),
                               {"bundle", run.bundle}});
}

PoolString held_json(const HuntRequest& request, const Held& held) {
  PoolString body = format_text(R"({{"hunt_id":"{}","hunter_id":"{}","loot":{{)", request.hunt_id,
                                request.hunter_id);
  uint64_t total = 0;
  for (size_t i = 0; i < held.loot.size(); ++i) {
    total += held.loot[i].second;
    if (i > 0) body.push_back(',');
    append_json_string(body, held.loot[i].first);
    append_format(body, ":{}", held.loot[i].second);
  }
  append_format(body, R"(}},"loot_count":{}}})", total);
  return body;
}

}  // namespace

std::optional<Response> shed_run(HuntContext& context, std::string_view hunt_id) {
  if (!context.workers.has_queue() || context.bundle.find(hunt_id) == nullptr ||
      !context.workers.sheds_now())
    return std::nullopt;
  context.metrics.add(ended_standing_queue.counter);
  context.hunt_ranking.count(hunt_id, HuntOutcome::refused, std::nullopt);
  Response response = problem_response(ended_standing_queue.problem, ended_standing_queue.detail);
  response.bundle = context.bundle.name();
  report_outcome(response, ended_standing_queue.counter);
  return response;
}

Task<Response> run_hunt(HuntContext& context, HuntRequest request) {
  Hunt hunt(context, request);
  if (std::optional<Response> rejected = hunt.reject_early()) co_return std::move(*rejected);

  // With a key, an earlier attempt that runs now may leave a response for this one.
  uint64_t const wait_until_ns = hunt.keyed ? hunt.deadline_at_ns : hunt.start_by_ns;
  std::optional<HunterQueue::Guard> const guard =
      co_await context.hunter_queue.lock(hunt.name.hunter_id, wait_until_ns);
  if (!guard) co_return hunt.end(ended_hunter_busy);
  if (context.clock.now_ns() >= hunt.deadline_at_ns) co_return hunt.end(ended_late);
  if (!context.ledger.up(hunt.name.hunter_id)) {
    bool const usable = co_await context.ledger.usable(hunt.name.hunter_id, hunt.deadline_at_ns);
    if (!usable) co_return hunt.end(ended_redis_unavailable);
  }
  if (hunt.keyed) {
    auto const [found, record] =
        co_await context.ledger.find_response(hunt.name, hunt.deadline_at_ns);
    if (found == Ledger::Found::yes) co_return hunt.replay(record);
    if (found == Ledger::Found::unavailable) co_return hunt.end(ended_redis_unavailable);
  }
  if (std::optional<Response> rejected = hunt.reject_run()) co_return std::move(*rejected);
  if (!context.seed_key) co_return hunt.end(ended_redis_unavailable);
  bool const states_known = co_await context.ledger.hunt_states().refresh(hunt.deadline_at_ns);
  if (!states_known) co_return hunt.end_without_states();
  if (hunt.closed()) co_return hunt.end(ended_closed);

  RunLimits::InFlight const in_flight(context.run_limits, hunt.rules(), hunt.name.hunt_id);
  if (!in_flight.admitted()) co_return hunt.end(ended_busy);

  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    WorkerPool::Admission admission =
        co_await context.workers.admit(hunt.name.hunt_id, hunt.start_by_ns);
    if (!admission.run) co_return hunt.end(ending_of(admission.rejection));
    if (attempt == 0) hunt.count_run();
    hunt.got_worker = true;
    hunt.note(Stage::queue, admission.queue_ns);
    RunResult run =
        co_await run_worker(context, std::move(*admission.run), hunt.name,
                            static_cast<uint32_t>(attempt), hunt.input, hunt.deadline_at_ns);
    hunt.note(Stage::worker_start, run.worker_start_ns);
    hunt.note(Stage::script, run.script_ns);
    if (!hunt.must_commit(run)) co_return hunt.end_uncommitted(run);
    if (run.end == End::rejected) hunt.release(run);

    Response response = hunt.response_to(run);
    ResponseRecord const record{hunt.body_hash, response.status, run.bundle, response.body};
    Commit const commit{hunt.name,  run.awards, record, run.held_version, context.clock.wall_ms(),
                        hunt.keyed, run.state};
    uint64_t const sent_at_ns = context.clock.now_ns();
    CommitResult committed = co_await context.ledger.commit(commit, hunt.deadline_at_ns);
    uint64_t const commit_ns = context.clock.now_ns() - sent_at_ns;
    context.metrics.record(Stage::redis_commit, commit_ns);
    hunt.note(Stage::redis_commit, commit_ns);
    if (committed.status != CommitStatus::conflict)
      co_return hunt.conclude(run, committed, std::move(response));
    hunt.release(run);
  }
  co_return hunt.end(ended_conflict);
}

Task<Response> read_held(HuntContext& context, HuntRequest request) {
  uint64_t const deadline_at_ns = context.deadline_at_ns(request.received_at_ns);
  std::optional<Held> held;
  bool const usable = co_await context.ledger.usable(request.hunter_id, deadline_at_ns);
  if (usable)
    held = co_await context.ledger.held(request.hunter_id, request.hunt_id, deadline_at_ns);

  Response response;
  if (!held)
    response =
        problem_response(Problem::redis_unavailable, "what the hunter holds can't be read now");
  else if (held->too_many)  // never a part of it, as for hunt.held()
    response = problem_response(
        Problem::held_full, format_text("{} holds more than {} different loot_ids in {}",
                                        request.hunter_id, limits::held_loot_max, request.hunt_id));
  else
    response.body = held_json(request, *held);
  response.bundle = context.bundle.name();
  co_return response;
}

}  // namespace huntd::server
