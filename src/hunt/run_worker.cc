#include "hunt/run_worker.h"

#include <signal.h>
#include <sys/wait.h>

#include <cstring>

#include "base/format_text.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "hunt/hunt.h"
#include "protocol/json_value.h"
#include "protocol/loot_event.h"
#include "protocol/worker_frame.h"

namespace huntd {
namespace {

std::string_view view(wf_text text) { return {text.data, text.size}; }
wf_text text_of(std::string_view text) { return {text.data(), static_cast<uint32_t>(text.size())}; }

// One process-wide buffer to write frames in: nothing is kept there across a wait.
std::string& frame_buffer() {
  static std::string buffer(limits::worker_frame_bytes_max, '\0');
  return buffer;
}

std::string_view job_frame(const HuntContext& context, const RequestName& name,
                           const BundledHunt& hunt, std::string_view input, bool more) {
  // The same request has the same chance, so that a run can be repeated.
  Text seed_text = format_text("{}:{}:{}", name.hunter_id, name.hunt_id, name.key);
  wf_job job{};
  job.flags = more ? WF_JOB_MORE : 0;
  job.seed[0] = hash64(seed_text);
  seed_text.push_back('+');
  job.seed[1] = hash64(seed_text);
  job.now_ms = context.clock.wall_ms();
  job.memory_bytes = context.workers.limits().memory_bytes;
  job.script_offset = hunt.offset;
  job.script_bytes = hunt.bytes;
  job.image_offset = hunt.image_offset;
  job.image_bytes = hunt.image_bytes;
  job.hunt_id = text_of(name.hunt_id);
  job.hunter_id = text_of(name.hunter_id);
  job.input = text_of(input);
  std::string& buffer = frame_buffer();
  size_t const size = wf_write_job(buffer.data(), buffer.size(), &job);
  CHECK(size > 0);
  return std::string_view(buffer).substr(0, size);
}

std::string_view held_frame(const Held& held) {
  std::string& buffer = frame_buffer();
  wf_writer writer = wf_begin(buffer.data(), buffer.size(), WF_ANSWER_HELD);
  size_t const count = held.loot.size();
  wf_put_u32(&writer, static_cast<uint32_t>(count));
  for (size_t i = 0; i < count; ++i) {
    wf_put_text(&writer, held.loot[i].first.data(), held.loot[i].first.size());
    wf_put_u64(&writer, held.loot[i].second);
  }
  size_t const size = wf_end(&writer);
  return std::string_view(buffer).substr(0, size);
}

std::string_view supply_frame(bool granted) {
  std::string& buffer = frame_buffer();
  wf_writer writer = wf_begin(buffer.data(), buffer.size(), WF_ANSWER_SUPPLY);
  wf_put_u8(&writer, granted ? 1 : 0);
  return std::string_view(buffer).substr(0, wf_end(&writer));
}

RunResult& broke_rules(RunResult& result, std::string_view what) {
  result.end = RunResult::End::broken_frame;
  result.reason = format_text("the worker broke the frame rules: {}", what);
  return result;
}

bool tried_forbidden_call(int wait_status) {
  return WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGSYS;
}

Text how_it_died(int wait_status) {
  if (tried_forbidden_call(wait_status)) return "the worker tried a forbidden system call";
  if (WIFSIGNALED(wait_status)) return format_text("killed by signal {}", WTERMSIG(wait_status));
  return format_text("exit status {}", WEXITSTATUS(wait_status));
}

// Takes over an outcome, trusting none of it.
void take_outcome(HuntContext& context, const RequestName& name, wf_reader& reader,
                  uint64_t asked_at_ns, RunResult& result) {
  wf_outcome outcome;
  if (wf_read_outcome(&reader, &outcome) == 0) {
    broke_rules(result, "the outcome is malformed");
    return;
  }
  // Times that can't be would spoil the histograms.
  uint64_t const now_ns = context.clock.now_ns();
  bool const began = outcome.vm_ready_at_ns > asked_at_ns && outcome.vm_ready_at_ns <= now_ns;
  if (began) context.stats.record(Stage::worker_start, outcome.vm_ready_at_ns - asked_at_ns);
  if (began && outcome.script_done_at_ns > outcome.vm_ready_at_ns &&
      outcome.script_done_at_ns <= now_ns)
    context.stats.record(Stage::script, outcome.script_done_at_ns - outcome.vm_ready_at_ns);
  for (std::string_view lines = view(outcome.log); !lines.empty();) {
    size_t const end = std::min(lines.find('\n'), lines.size());
    if (context.hunt_log_budget.take(context.clock.now_ns()))
      log::info(
          "hunt.log",
          {{"hunt", name.hunt_id}, {"hunter", name.hunter_id}, {"text", lines.substr(0, end)}});
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  result.reason = view(outcome.reason);
  switch (outcome.status) {
    case WF_OK:
      break;
    case WF_REJECTED:
      result.end = RunResult::End::rejected;
      return;
    case WF_SCRIPT_ERROR:
      result.end = RunResult::End::script_error;
      return;
    case WF_OUT_OF_MEMORY:
      result.end = RunResult::End::out_of_memory;
      return;
    default:
      result.end = RunResult::End::worker_died;
      return;
  }
  size_t limited = 0;
  for (uint32_t i = 0; i < outcome.award_count; ++i) {
    Award award{Text(view(outcome.awards[i].loot_id)),
                make_event_id(name.hunter_id, name.hunt_id, name.key, i),
                (outcome.awards[i].flags & WF_AWARD_LIMITED) != 0};
    bool reserved = false;
    for (const Reservation& unit : result.reservations)
      reserved = reserved || (unit.event_id == award.event_id && unit.loot_id == award.loot_id);
    if (award.limited != reserved) {
      broke_rules(result, "a limited award without its unit");
      return;
    }
    if (award.limited) ++limited;
    result.awards.push_back(std::move(award));
  }
  // One that is not awarded would be settled as given with the rest.
  if (limited != result.reservations.size()) {
    broke_rules(result, "a unit without its award");
    return;
  }
  result.result = view(outcome.result);
  if (!is_json(result.result)) {
    broke_rules(result, "the result is not JSON");
    return;
  }
  result.end = RunResult::End::ok;
}

}  // namespace

Task<RunResult> run_worker(HuntContext& context, WorkerPool::Run run, const RequestName& name,
                           Text input, uint64_t deadline_at_ns) {
  RunResult result;
  const BundledHunt* hunt = context.bundle.find(name.hunt_id);
  result.bundle = context.bundle.name();
  if (hunt == nullptr) {
    result.end = RunResult::End::no_such_hunt;
    co_return result;
  }
  uint64_t const asked_at_ns = context.clock.now_ns();
  uint32_t positions_from = 0;  // of the units that it may still ask for
  run.begin(name.hunt_id, name.hunter_id,
            job_frame(context, name, *hunt, input, run.more_may_follow()));
  for (;;) {
    WorkerSaid const said = co_await run.next(deadline_at_ns);
    if (said.what == WorkerSaid::What::deadline) {
      result.end = RunResult::End::deadline;
      co_return result;
    }
    if (said.what == WorkerSaid::What::not_started) {
      result.end = RunResult::End::not_started;
      result.reason = std::strerror(said.spawn_errno);
      co_return result;
    }
    if (said.what == WorkerSaid::What::talks_too_much) {
      broke_rules(result, "it does not wait for answers");
      co_return result;
    }
    if (said.what == WorkerSaid::What::died) {
      if (tried_forbidden_call(said.wait_status)) result.end = RunResult::End::forbidden_call;
      result.reason = how_it_died(said.wait_status);
      co_return result;
    }
    wf_reader reader;
    switch (wf_open(&reader, said.frame.data(), said.frame.size())) {
      case WF_ASK_HELD: {
        if (wf_all_read(&reader) == 0) {
          broke_rules(result, "a malformed question");
          co_return result;
        }
        std::optional<Held> held =
            co_await context.ledger.held(name.hunter_id, name.hunt_id, deadline_at_ns);
        if (!held) {
          result.end = RunResult::End::redis_away;
          co_return result;
        }
        // Never a part of it: what a script does not see, it would give again.
        if (held->loot.size() > limits::held_loot_max) {
          result.end = RunResult::End::script_error;
          result.reason =
              format_text("{}.lua: the hunter holds {} different loots; hunt.held() takes {}",
                          name.hunt_id, held->loot.size(), limits::held_loot_max);
          co_return result;
        }
        result.held_seq = held->seq;
        run.answer(held_frame(*held));
        break;
      }
      case WF_ASK_SUPPLY: {
        uint32_t const position = wf_get_u32(&reader);
        Text const loot_id(view(wf_get_id(&reader)));
        uint64_t const limit = wf_get_u64(&reader);
        if (wf_all_read(&reader) == 0 || position < positions_from ||
            position >= limits::awards_max || limit > WF_SUPPLY_LIMIT_MAX) {
          broke_rules(result, "a malformed question");
          co_return result;
        }
        Text const event_id = make_event_id(name.hunter_id, name.hunt_id, name.key, position);
        // Noted before the answer is known: a unit whose reservation got lost on the way is
        // released with the rest.
        result.reservations.push_back({loot_id, event_id});
        Supply::Granted const granted =
            co_await context.supply.reserve(name, loot_id, event_id, limit, deadline_at_ns);
        if (granted == Supply::Granted::unavailable) {
          result.end = RunResult::End::redis_away;
          co_return result;
        }
        if (granted == Supply::Granted::gone)
          result.reservations.pop_back();
        else
          positions_from = position + 1;
        run.answer(supply_frame(granted == Supply::Granted::yes));
        break;
      }
      case WF_OUTCOME:
        take_outcome(context, name, reader, asked_at_ns, result);
        // One that broke the rules is killed, and serves nobody more.
        if (result.end != RunResult::End::broken_frame) run.done();
        co_return result;
      default:
        broke_rules(result, "not a frame that a worker sends");
        co_return result;
    }
  }
}

}  // namespace huntd
