// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/run_worker.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "base/format_text.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/trace_context.h"
#include "bundle/hunt_job.h"
#include "core/hunt/failed_run.h"
#include "core/hunt/hunt.h"
#include "wire/json_value.h"
#include "wire/loot_event.h"
#include "wire/redis_keys.h"
#include "wire/worker_frame.h"

namespace huntd::server {
namespace {

using End = RunResult::End;

std::string_view view(wf_text text) { return {text.data, text.size}; }
wf_text text_of(std::string_view text) { return {text.data(), static_cast<uint32_t>(text.size())}; }

// The process's buffer for frames to send. Its content is valid until the next wait.
std::string& frame_buffer() {
  static std::string buffer(limits::worker_frame_bytes_max, '\0');
  return buffer;
}

// `run` has the seed and the time.
std::string_view job_frame(HuntContext& context, const RequestName& name, const BundledHunt& hunt,
                           const RunResult& run, std::string_view input, bool more) {
  wf_job job = hunt_job(hunt, context.workers.limits().memory_bytes);
  Isolation const isolation = context.workers.limits().isolation;
  bool const of_its_own = isolation == Isolation::process || isolation == Isolation::fork;
  job.flags = more ? WF_JOB_MORE : 0;
  if (of_its_own && context.run_limits.must_yield(name.hunt_id, context.clock.now_ns()))
    job.flags |= WF_JOB_YIELD;
  job.seed[0] = run.seed[0];
  job.seed[1] = run.seed[1];
  job.now_ms = run.now_ms;
  job.hunter_id = text_of(name.hunter_id);
  job.input = text_of(input);
  std::string& buffer = frame_buffer();
  size_t const size = wf_write_job(buffer.data(), buffer.size(), &job);
  CHECK(size > 0);
  return std::string_view(buffer).substr(0, size);
}

std::string_view held_frame(const Held& held) {
  std::string& buffer = frame_buffer();
  wf_writer writer = wf_begin(buffer.data(), buffer.size(), WF_REPLY_HELD);
  size_t const count = held.loot.size();
  wf_put_u32(&writer, static_cast<uint32_t>(count));
  for (size_t i = 0; i < count; ++i) {
    wf_put_text(&writer, held.loot[i].first.data(), held.loot[i].first.size());
    wf_put_u64(&writer, held.loot[i].second);
  }
  size_t const size = wf_end(&writer);
  return std::string_view(buffer).substr(0, size);
}

// Nothing if the state is not what a run of a script can have stored.
std::optional<std::string_view> state_frame(const HunterState& state) {
  PoolString value;
  if (!state.json.empty()) {
    Result<PoolString> encoded = encode_json_value(state.json);
    if (!encoded) return std::nullopt;
    value = std::move(*encoded);
  }
  std::string& buffer = frame_buffer();
  wf_writer writer = wf_begin(buffer.data(), buffer.size(), WF_REPLY_STATE);
  wf_put_text(&writer, value.data(), value.size());
  size_t const size = wf_end(&writer);
  if (size == 0) return std::nullopt;
  return std::string_view(buffer).substr(0, size);
}

std::string_view supply_frame(bool granted) {
  std::string& buffer = frame_buffer();
  wf_writer writer = wf_begin(buffer.data(), buffer.size(), WF_REPLY_SUPPLY);
  wf_put_u8(&writer, granted ? 1 : 0);
  return std::string_view(buffer).substr(0, wf_end(&writer));
}

std::string_view left_frame(uint64_t units) {
  std::string& buffer = frame_buffer();
  wf_writer writer = wf_begin(buffer.data(), buffer.size(), WF_REPLY_LEFT);
  wf_put_u64(&writer, units);
  return std::string_view(buffer).substr(0, wf_end(&writer));
}

bool tried_forbidden_call(int wait_status) {
  return WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGSYS;
}

PoolString death_text(int wait_status) {
  if (tried_forbidden_call(wait_status)) return "the worker tried a forbidden system call";
  if (WIFSIGNALED(wait_status)) return format_text("killed by signal {}", WTERMSIG(wait_status));
  return format_text("exit status {}", WEXITSTATUS(wait_status));
}

// A script's draw on a shared supply.
struct SupplyQuery {
  uint32_t position = 0;  // of the award in the request
  Reservation unit;
  uint64_t limit = 0;
};

// A script's question how many units of a supply are left.
struct LeftQuery {
  PoolString loot_id;
  uint64_t limit = 0;
};

constexpr const char* too_late = "the request's time was over before the hunt's";

// The result of a run as it grows, and the steps between two waits of run_worker(). A worker is not
// trusted: each step checks what the worker sent. A step that returns false has ended the run;
// `result` says how.
struct RunSteps {
  HuntContext& context;
  const RequestName& name;
  uint32_t run_number = 0;
  uint64_t deadline_at_ns = never_ns;  // of the request
  RunResult result{};
  uint64_t started_at_ns = 0;
  uint32_t position_min = 0;  // of the next award that is drawn from a supply

  void begin() {
    started_at_ns = context.clock.now_ns();
    result.bundle = context.bundle.name();
    result.now_ms = context.clock.wall_ms();
    // The seed follows from the request, so that a retry draws the same random numbers.
    result.seed = context.seed_key->seed(name.hunter_id, name.hunt_id, name.key);
  }
  bool end(End end, PoolString reason) {
    result.end = end;
    result.reason = std::move(reason);
    return false;
  }
  bool protocol_violation(std::string_view rule) {
    return end(End::broken_frame, format_text("the worker violated the frame protocol: {}", rule));
  }
  PoolString event_id(uint32_t position) const {
    return make_event_id(name.hunter_id, name.hunt_id, name.request_id,
                         run_number * limits::awards_max + position);
  }
  void end_without_outcome(const WorkerEvent& event);

  bool in_time();
  bool read_held_query(wf_reader& reader);
  bool take_held(const std::optional<Held>& held);
  std::optional<std::string_view> take_state(const std::optional<HunterState>& state);
  bool read_supply_query(wf_reader& reader, SupplyQuery& query);
  bool take_grant(Supply::Granted granted, const SupplyQuery& query);
  bool read_left_query(wf_reader& reader, LeftQuery& query);
  bool take_left(std::optional<uint64_t> left, LeftQuery& query);

  bool read_outcome(wf_reader& reader);
  void record_stages(const wf_outcome& outcome);
  void log_lines(std::string_view lines);
  bool take_awards(const wf_outcome& outcome);
  bool take_new_state(const wf_outcome& outcome);
};

void RunSteps::end_without_outcome(const WorkerEvent& event) {
  switch (event.kind) {
    case WorkerEvent::Kind::deadline:
      end(End::deadline, "");
      return;
    case WorkerEvent::Kind::late:
      end(End::late, too_late);
      return;
    case WorkerEvent::Kind::not_started:
      end(End::not_started, std::strerror(event.spawn_errno));
      return;
    case WorkerEvent::Kind::flooded:
      protocol_violation("it does not wait for replies");
      return;
    case WorkerEvent::Kind::died:
    case WorkerEvent::Kind::frame:
      end(tried_forbidden_call(event.wait_status) ? End::forbidden_call : End::worker_died,
          death_text(event.wait_status));
      return;
  }
}

// False, and the end, if the request's time is over: Redis is not to blame for a reply that is not
// waited for.
bool RunSteps::in_time() {
  return context.clock.now_ns() < deadline_at_ns || end(End::late, too_late);
}

bool RunSteps::read_held_query(wf_reader& reader) {
  return wf_all_read(&reader) != 0 ? in_time() : protocol_violation("a malformed query");
}

bool RunSteps::take_held(const std::optional<Held>& held) {
  if (!held) return end(End::redis_unavailable, "");
  // Never a part of what the hunter holds: a script would award again what it does not see.
  if (held->too_many)
    return end(End::held_full,
               format_text("nothing was awarded: {} holds more than {} different loot_ids in {}; "
                           "hunt.held() can't return them",
                           name.hunter_id, limits::held_loot_max, name.hunt_id));
  // hunt.held() and hunt.take() ask one time each. If it has changed in between, the commit is a
  // conflict.
  if (!result.held_version) result.held_version = held->version();
  return true;
}

// The reply to a query for the state; nothing: the run has ended.
std::optional<std::string_view> RunSteps::take_state(const std::optional<HunterState>& state) {
  if (!state) {
    end(End::redis_unavailable, "");
    return std::nullopt;
  }
  std::optional<std::string_view> const frame = state_frame(*state);
  if (!frame) {
    end(End::script_error,
        format_text("{}.lua: what is kept of {} cannot be read: delete the field {} of {}",
                    name.hunt_id, name.hunter_id, keys::state_field,
                    keys::held(name.hunter_id, name.hunt_id)));
    return std::nullopt;
  }
  // As for held_version.
  if (!result.state) {
    result.state =
        StateChange{state->version.empty() ? PoolString(HunterState::no_version) : state->version,
                    std::nullopt};
    result.state_before = state->json;
  }
  return frame;
}

bool RunSteps::read_supply_query(wf_reader& reader, SupplyQuery& query) {
  query.position = wf_get_u32(&reader);
  query.unit.loot_id = view(wf_get_id(&reader));
  query.limit = wf_get_u64(&reader);
  if (wf_all_read(&reader) == 0 || query.position < position_min ||
      query.position >= limits::awards_max || query.limit > WF_SUPPLY_LIMIT_MAX)
    return protocol_violation("a malformed query");
  if (!in_time()) return false;
  query.unit.event_id = event_id(query.position);
  // Noted before the reply is known: if the reply is lost, the unit is released with the others.
  result.reservations.push_back(query.unit);
  return true;
}

bool RunSteps::take_grant(Supply::Granted granted, const SupplyQuery& query) {
  if (granted == Supply::Granted::yes || granted == Supply::Granted::gone)
    context.metrics.loot.note_supply(name.hunt_id, query.unit.loot_id, query.limit, result.now_ms);
  switch (granted) {
    case Supply::Granted::yes:
      position_min = query.position + 1;
      return true;
    case Supply::Granted::gone:
      result.gone.push_back(std::move(result.reservations.back().loot_id));
      result.reservations.pop_back();
      return true;
    case Supply::Granted::full:
      result.reservations.pop_back();
      return end(End::supplies_full,
                 format_text("nothing was awarded: {} has drawn on {} supplies already",
                             name.hunt_id, limits::supplies_per_hunt_max));
    case Supply::Granted::unavailable:
      break;
  }
  return end(End::redis_unavailable, "");
}

bool RunSteps::read_left_query(wf_reader& reader, LeftQuery& query) {
  query.loot_id = view(wf_get_id(&reader));
  query.limit = wf_get_u64(&reader);
  if (wf_all_read(&reader) == 0 || query.limit > WF_SUPPLY_LIMIT_MAX ||
      result.left_asked == limits::left_asked_max)
    return protocol_violation("a malformed query");
  ++result.left_asked;
  return in_time();
}

bool RunSteps::take_left(std::optional<uint64_t> left, LeftQuery& query) {
  if (!left) return end(End::redis_unavailable, "");
  auto const of_it = [&query](const auto& unit) { return unit.loot_id == query.loot_id; };
  auto const noted = std::any_of(result.left.begin(), result.left.end(),
                                 [&query](const auto& one) { return one.first == query.loot_id; });
  if (noted) return true;
  auto const own = std::count_if(result.reservations.begin(), result.reservations.end(), of_it);
  result.left.emplace_back(std::move(query.loot_id), *left + static_cast<uint64_t>(own));
  return true;
}

// Times that can't be true would spoil the histograms.
void RunSteps::record_stages(const wf_outcome& outcome) {
  uint64_t const now_ns = context.clock.now_ns();
  if (outcome.vm_ready_at_ns <= started_at_ns || outcome.vm_ready_at_ns > now_ns) return;
  result.worker_start_ns = outcome.vm_ready_at_ns - started_at_ns;
  context.metrics.record(Stage::worker_start, result.worker_start_ns);
  if (outcome.script_done_at_ns <= outcome.vm_ready_at_ns || outcome.script_done_at_ns > now_ns)
    return;
  result.script_ns = outcome.script_done_at_ns - outcome.vm_ready_at_ns;
  context.metrics.record(Stage::script, result.script_ns);
}

void RunSteps::log_lines(std::string_view lines) {
  while (!lines.empty()) {
    size_t const end = std::min(lines.find('\n'), lines.size());
    if (context.hunt_log_budget.take(context.clock.now_ns())) {
      log::info("hunt.log", {{"hunt_id", name.hunt_id},
                             {"hunter_id", name.hunter_id},
                             {"request_id", name.request_id},
                             log::if_set("trace_id", trace_id_of(name.trace_context)),
                             {"text", lines.substr(0, end)}});
      context.metrics.lines.add(
          hunt_line_json(name, "log", lines.substr(0, end), context.clock.wall_ms()));
    }
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
}

bool RunSteps::take_awards(const wf_outcome& outcome) {
  size_t limited = 0;
  for (uint32_t i = 0; i < outcome.award_count; ++i) {
    Award award{PoolString(view(outcome.awards[i].loot_id)), event_id(i),
                (outcome.awards[i].flags & WF_AWARD_LIMITED) != 0, wf_units(&outcome.awards[i])};
    bool const reserved = std::any_of(
        result.reservations.begin(), result.reservations.end(), [&award](const Reservation& unit) {
          return unit.event_id == award.event_id && unit.loot_id == award.loot_id;
        });
    if (award.limited != reserved) return protocol_violation("a limited award without its unit");
    if (award.limited) ++limited;
    result.awards.push_back(std::move(award));
  }
  // All reservations of a committed run are settled, so each must have its award.
  return limited == result.reservations.size() || protocol_violation("a unit without its award");
}

// A table without a key is not kept.
bool RunSteps::take_new_state(const wf_outcome& outcome) {
  if (outcome.state.data == nullptr) return true;
  std::string_view json = view(outcome.state);
  if (!result.state) return protocol_violation("a state that it has not asked for");
  if (!is_json(json) || (json[0] != '{' && json[0] != '['))
    return protocol_violation("the state is not a JSON object");
  json = stored_state(json);
  if (json != result.state_before) result.state->json = json;
  return true;
}

bool RunSteps::read_outcome(wf_reader& reader) {
  wf_outcome outcome;
  if (wf_read_outcome(&reader, &outcome) == 0)
    return protocol_violation("the outcome is malformed");
  record_stages(outcome);
  log_lines(view(outcome.log));
  PoolString reason(view(outcome.reason));
  switch (outcome.status) {
    case WF_OK:
      break;
    case WF_REJECTED:
      end(End::rejected, std::move(reason));
      return true;
    case WF_SCRIPT_ERROR:
      end(End::script_error, std::move(reason));
      return true;
    case WF_OUT_OF_MEMORY:
      end(End::out_of_memory, std::move(reason));
      return true;
    default:
      end(End::worker_died, std::move(reason));
      return true;
  }
  if (!take_awards(outcome) || !take_new_state(outcome)) return false;
  result.result = view(outcome.result);
  if (!is_json(result.result)) return protocol_violation("the result is not JSON");
  result.end = End::ok;
  return true;
}

// Replies to a script's question what is left of a supply. Returns whether the run goes on.
Task<bool> reply_to_left(RunSteps& steps, WorkerPool::Run& run, wf_reader& reader) {
  LeftQuery query;
  if (!steps.read_left_query(reader, query)) co_return false;
  std::optional<uint64_t> const left = co_await steps.context.supply.left(
      steps.name.hunt_id, query.loot_id, query.limit, steps.deadline_at_ns);
  if (!steps.take_left(left, query)) co_return false;
  run.reply(left_frame(*left));
  co_return true;
}

}  // namespace

Task<RunResult> run_worker(HuntContext& context, WorkerPool::Run run, const RequestName& name,
                           uint32_t run_number, std::string_view input, uint64_t deadline_at_ns) {
  RunSteps steps{context, name, run_number, deadline_at_ns};
  steps.begin();
  const BundledHunt* const hunt = context.bundle.find(name.hunt_id);
  if (hunt == nullptr) {
    steps.end(End::no_such_hunt, "");
    co_return std::move(steps.result);
  }
  run.start(name.hunt_id, name.hunter_id,
            job_frame(context, name, *hunt, steps.result, input, run.more_may_follow()),
            hunt->rules.deadline_on(context.workers.limits().deadline_ms));
  for (bool running = true; running;) {
    WorkerEvent const event = co_await run.next_event(deadline_at_ns);
    if (event.kind != WorkerEvent::Kind::frame) {
      steps.end_without_outcome(event);
      break;
    }
    wf_reader reader;
    switch (wf_open(&reader, event.frame.data(), event.frame.size())) {
      case WF_ASK_HELD: {
        running = steps.read_held_query(reader);
        if (!running) break;
        std::optional<Held> held =
            co_await context.ledger.held(name.hunter_id, name.hunt_id, deadline_at_ns);
        running = steps.take_held(held);
        if (running) run.reply(held_frame(*held));
        steps.result.held = std::move(held);
        break;
      }
      case WF_ASK_STATE: {
        running = steps.read_held_query(reader);
        if (!running) break;
        std::optional<HunterState> const state =
            co_await context.ledger.state(name.hunter_id, name.hunt_id, deadline_at_ns);
        std::optional<std::string_view> const reply = steps.take_state(state);
        running = reply.has_value();
        if (running) run.reply(*reply);
        break;
      }
      case WF_ASK_SUPPLY: {
        SupplyQuery query;
        running = steps.read_supply_query(reader, query);
        if (!running) break;
        Supply::Granted const granted = co_await context.supply.reserve(
            name, query.unit.loot_id, query.unit.event_id, query.limit, deadline_at_ns);
        running = steps.take_grant(granted, query);
        if (running) run.reply(supply_frame(granted == Supply::Granted::yes));
        break;
      }
      case WF_ASK_LEFT:
        running = co_await reply_to_left(steps, run, reader);
        break;
      case WF_OUTCOME:
        // A worker that violated the protocol is killed.
        if (steps.read_outcome(reader)) run.done();
        running = false;
        break;
      default:
        running = steps.protocol_violation("a frame that a worker does not send");
        break;
    }
  }
  context.run_limits.note_end(steps.result.bundle, name.hunt_id, steps.result.end == End::deadline);
  co_return std::move(steps.result);
}

}  // namespace huntd::server
