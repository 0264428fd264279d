#include "hunt/hunt.h"

#include <charconv>
#include <optional>

#include "base/format_text.h"
#include "base/hash.h"
#include "base/json_text.h"
#include "base/log.h"
#include "http/problem.h"
#include "hunt/run_worker.h"
#include "protocol/json_value.h"

namespace huntd {
namespace {

constexpr uint64_t ns_per_ms = 1'000'000;
constexpr int attempts_max =
    2;  // a run whose view of the hunter's loot was overtaken is made once more

Response answer(HuntContext& context, Counter outcome, Problem problem, std::string_view detail) {
  context.stats.add(outcome);
  Response response = problem_response(problem, detail);
  response.bundle = context.bundle.name();
  return response;
}

// What a client reads when loot was given; a replay of it is the same text but for the last word.
Text answer_body(const RequestName& name, const RunResult& run) {
  Text body = format_text(R"({{"request_id":"{}","hunt_id":"{}","hunter_id":"{}","loot":[)",
                          name.request_id, name.hunt_id, name.hunter_id);
  for (size_t i = 0; i < run.awards.size(); ++i)
    append_format(body, R"({}{{"loot_id":"{}","event_id":"{}"}})", i == 0 ? "" : ",",
                  run.awards[i].loot_id, run.awards[i].event_id);
  body += R"(],"result":)";
  body += run.result;
  body += R"(,"replayed":false})";
  return body;
}

Response replay(HuntContext& context, const AnswerRecord& record, uint64_t body_hash) {
  if (record.body_hash != body_hash)
    return answer(
        context, Counter::hunts_key_reused, Problem::key_reused,
        "this Idempotency-Key was first used with another body; use a new key for a new request");
  context.stats.add(Counter::hunts_replayed);
  Response response;
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

// Whose fault it was; none where it was not the script's.
std::optional<FailureReason> failure_reason(RunResult::End end) {
  using End = RunResult::End;
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
    case End::not_started:
    case End::redis_away:
    case End::no_such_hunt:
      break;
  }
  return std::nullopt;
}

// The line in "HUNT.lua:LINE: what"; 0 where there is none. The text is the worker's, so it may be
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

// Tells the operator and the artist: the log says which request, the metric how often.
void tell(HuntContext& context, const RequestName& name, const RunResult& run,
          FailureReason reason) {
  uint32_t const line =
      reason == FailureReason::script_error ? line_of(run.reason, name.hunt_id) : 0;
  context.stats.failures.add(name.hunt_id, line, reason);
  if (!context.failure_log_budget.take(context.clock.now_ns())) return;
  log::warning("hunt failed", {{"hunt", name.hunt_id},
                               {"line", line == 0 ? "" : std::to_string(line)},
                               {"reason", failure_reason_names[static_cast<size_t>(reason)]},
                               {"detail", run.reason},
                               {"hunter", name.hunter_id},
                               {"request", name.request_id},
                               {"bundle", run.bundle}});
}

// The answer to a run that gave nothing because it failed.
Response failure(HuntContext& context, const RequestName& name, RunResult& run) {
  using End = RunResult::End;
  if (run.end == End::deadline)
    run.reason = format_text("a worker lives {} ms at most", context.workers.limits().deadline_ms);
  if (std::optional<FailureReason> const reason = failure_reason(run.end))
    tell(context, name, run, *reason);
  if (run.end == End::not_started && context.failure_log_budget.take(context.clock.now_ns()))
    log::warning("no worker could be started",
                 {{"hunt", name.hunt_id}, {"request", name.request_id}, {"error", run.reason}});
  Response response;
  switch (run.end) {
    case End::rejected:
      response = answer(context, Counter::hunts_rejected, Problem::rejected, run.reason);
      break;
    case End::script_error:
      response = answer(context, Counter::hunts_script_error, Problem::script_failed, run.reason);
      break;
    case End::out_of_memory:
      response =
          answer(context, Counter::hunts_out_of_memory, Problem::script_out_of_memory,
                 format_text("a script may use {} bytes", context.workers.limits().memory_bytes));
      break;
    case End::deadline:
      response = answer(context, Counter::hunts_deadline, Problem::deadline_passed, run.reason);
      break;
    case End::redis_away:
      response = answer(context, Counter::hunts_redis_unavailable, Problem::redis_unavailable,
                        "nothing was given");
      break;
    case End::no_such_hunt:
      response = answer(context, Counter::hunts_no_such_hunt, Problem::no_such_hunt, name.hunt_id);
      break;
    case End::not_started:
      response = answer(context, Counter::hunts_worker_died, Problem::overloaded,
                        "no worker could be started: " + run.reason);
      break;
    case End::forbidden_call:
    case End::broken_frame:
    case End::worker_died:
    case End::ok:
      context.stats.add(Counter::workers_died);
      response = answer(context, Counter::hunts_worker_died, Problem::worker_died, run.reason);
      break;
  }
  if (!run.bundle.empty()) response.bundle = run.bundle;
  return response;
}

}  // namespace

Task<Response> run_hunt(HuntContext& context, HuntRequest request) {
  uint64_t const deadline_at_ns = request.received_at_ns + context.request_deadline_ms * ns_per_ms;
  RequestName name{std::move(request.hunt_id), std::move(request.hunter_id),
                   std::move(request.idempotency_key),
                   format_text("{:016x}{:016x}", context.clock.random(), context.clock.random())};
  bool const keyed = !name.key.empty();
  if (!keyed) name.key = name.request_id;

  // What can be refused at once.
  if (context.bundle.find(name.hunt_id) == nullptr)
    co_return answer(context, Counter::hunts_no_such_hunt, Problem::no_such_hunt, name.hunt_id);
  constexpr std::string_view standing_detail = "more hunts come than are served; ask later";
  if (!keyed && context.workers.refuses_now())
    co_return answer(context, Counter::hunts_shed_queue_stands, Problem::overloaded,
                     standing_detail);
  Text input;
  if (!request.body.empty()) {
    Result<Text> value = encode_json_value(request.body);
    if (!value)
      co_return answer(context, Counter::hunts_bad_input, Problem::invalid_json,
                       value.error().message);
    input = std::move(*value);
  }
  uint64_t const body_hash = hash64(request.body);
  if (!context.ledger.up())
    co_return answer(context, Counter::hunts_redis_unavailable, Problem::redis_unavailable,
                     "nothing was given");

  // One hunter's requests run one at a time.
  std::optional<Lanes::Turn> turn = co_await context.lanes.enter(name.hunter_id, deadline_at_ns);
  if (!turn)
    co_return answer(context, Counter::hunts_shed_queue_deadline, Problem::overloaded,
                     "the hunter's earlier requests took too long");

  // Answered before?
  if (keyed) {
    auto [found, record] = co_await context.ledger.find_answer(name, deadline_at_ns);
    if (found == Ledger::Found::yes) co_return replay(context, record, body_hash);
    if (found == Ledger::Found::unavailable)
      co_return answer(context, Counter::hunts_redis_unavailable, Problem::redis_unavailable,
                       "nothing was given");
  }

  for (int attempt = 1;; ++attempt) {
    // Admission: a place among the workers, or a refusal.
    WorkerPool::Admission admission = co_await context.workers.admit();
    if (admission.refusal == WorkerPool::Refusal::queue_full)
      co_return answer(context, Counter::hunts_shed_queue_full, Problem::overloaded,
                       "the queue is full");
    if (admission.refusal == WorkerPool::Refusal::queue_deadline)
      co_return answer(context, Counter::hunts_shed_queue_deadline, Problem::overloaded,
                       "no worker was free within the queue's deadline");
    if (admission.refusal == WorkerPool::Refusal::queue_stands)
      co_return answer(context, Counter::hunts_shed_queue_stands, Problem::overloaded,
                       standing_detail);

    // The script.
    RunResult run =
        co_await run_worker(context, std::move(*admission.run), name, input, deadline_at_ns);
    bool const rejected = run.end == RunResult::End::rejected;
    if (run.end != RunResult::End::ok) {
      context.supply.release(name, run.reservations);
      run.reservations.clear();
    }
    if (run.end != RunResult::End::ok && !(rejected && keyed))
      co_return failure(context, name, run);

    // The commit. A request that gives nothing and has no key leaves nothing to remember.
    Response response;
    if (rejected) {
      response = problem_response(Problem::rejected, run.reason);
      run.awards.clear();
    } else {
      response.body = answer_body(name, run);
    }
    response.bundle = run.bundle;
    if (run.awards.empty() && !keyed) {
      context.supply.release(name, run.reservations);
      context.stats.add(Counter::hunts_ok);
      co_return response;
    }
    AnswerRecord const record{body_hash, response.status, run.bundle, response.body};
    uint64_t const commit_at_ns = context.clock.now_ns();
    CommitResult committed = co_await context.ledger.commit(
        name, run.awards, record, run.held_seq, context.clock.wall_ms(), keyed, deadline_at_ns);
    context.stats.record(Stage::redis_commit, context.clock.now_ns() - commit_at_ns);

    switch (committed.status) {
      case CommitStatus::committed:
        // The events are safe in the outbox; they are sent on with the tick's others.
        context.supply.settle(name, run.reservations, keyed);
        context.emitter.enqueue(std::move(committed.entries));
        context.stats.add(Counter::awards, run.awards.size());
        context.stats.add(rejected ? Counter::hunts_rejected : Counter::hunts_ok);
        co_return response;
      case CommitStatus::replayed:
        // This attempt's own commit, whose first reply was lost; the sweep brings its events.
        if (committed.record->body == response.body) {
          context.supply.settle(name, run.reservations, keyed);
          context.stats.add(rejected ? Counter::hunts_rejected : Counter::hunts_ok);
          co_return response;
        }
        co_return replay(context, *committed.record, body_hash);
      case CommitStatus::conflict:
        context.supply.release(name, run.reservations);
        if (attempt < attempts_max) continue;
        co_return answer(context, Counter::hunts_conflict, Problem::conflict,
                         "nothing was given; try again");
      case CommitStatus::refused:
        context.supply.release(name, run.reservations);
        if (context.failure_log_budget.take(context.clock.now_ns()))
          log::warning("commit refused", {{"hunt", name.hunt_id}, {"reason", committed.why}});
        co_return answer(context, Counter::hunts_redis_unavailable, Problem::redis_unavailable,
                         "nothing was given");
      case CommitStatus::unknown:
        // The units stay reserved; the supply's sweep finds out.
        if (!committed.why.empty() && context.failure_log_budget.take(context.clock.now_ns()))
          log::warning("commit's outcome is unknown",
                       {{"hunt", name.hunt_id}, {"reason", committed.why}});
        co_return answer(context, Counter::hunts_unknown_outcome, Problem::outcome_unknown,
                         keyed ? "ask again with the same Idempotency-Key"
                               : "with an Idempotency-Key a repeat would be safe");
    }
  }
}

Task<Response> read_held(HuntContext& context, HuntRequest request) {
  uint64_t const deadline_at_ns = request.received_at_ns + context.request_deadline_ms * ns_per_ms;
  std::optional<Held> held;
  if (context.ledger.up())
    held = co_await context.ledger.held(request.hunter_id, request.hunt_id, deadline_at_ns);
  // As for hunt.held(): never a part of it, and the same answer from whichever core it is asked.
  if (held && held->loot.size() > limits::held_loot_max) {
    Response too_much = problem_response(
        Problem::internal, format_text("the hunter holds {} different loots; {} can be shown",
                                       held->loot.size(), limits::held_loot_max));
    too_much.bundle = context.bundle.name();
    co_return too_much;
  }
  if (!held) {
    Response away =
        problem_response(Problem::redis_unavailable, "what the hunter holds can't be read now");
    away.bundle = context.bundle.name();
    co_return away;
  }
  Response response;
  response.bundle = context.bundle.name();
  response.body = format_text(R"({{"hunt_id":"{}","hunter_id":"{}","loot":{{)", request.hunt_id,
                              request.hunter_id);
  uint64_t total = 0;
  for (size_t i = 0; i < held->loot.size(); ++i) {
    total += held->loot[i].second;
    if (i > 0) response.body.push_back(',');
    append_json_string(response.body, held->loot[i].first);
    append_format(response.body, ":{}", held->loot[i].second);
  }
  append_format(response.body, R"(}},"loot_count":{}}})", total);
  co_return response;
}

}  // namespace huntd
