// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/simulation.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "bundle/hunt_job.h"
#include "bundle/worker_process.h"
#include "chance/seed.h"
#include "rehearsal/job_worker.h"
#include "rehearsal/pretend_ledger.h"
#include "rehearsal/run_tally.h"
#include "wire/worker_frame.h"

namespace huntd {
namespace {

using Loot = PretendLedger::Loot;
using Unit = PretendLedger::Unit;

// Between two looks at the CPU time of workers.
constexpr uint64_t watch_every_ns = 5 * ns_per_ms;
constexpr uint64_t progress_every_ns = 50 * ns_per_ms;

// A worker, and the run that it plays.
struct Slot {
  std::optional<WorkerProcess> worker;
  bool busy = false;
  uint64_t run = 0;

  // A query for a unit, or for what is left, whose reply depends on earlier runs.
  bool waits = false;
  bool asks_left = false;
  Loot loot = 0;
  uint64_t limit = 0;

  uint64_t asked_at_ns = 0;
  uint64_t waited_ns = 0;  // for replies, in this run
  // The deadline is one of CPU time: how long a run takes depends on what else the machine does.
  bool watched = false;
  uint64_t cpu_ns = 0;  // when the watch over this run started
};

struct Started {
  PlayedRun played;
  bool ended = false;
};

class Simulation {
 public:
  Simulation(const Bundle& bundle, const std::string& worker_path, const SimulationPlan& plan)
      : plan_(plan),
        bundle_(bundle),
        worker_path_(worker_path),
        hunt_(*bundle.find(plan.hunt_id)),
        seeds_(plan.seed),
        ledger_(plan.hunters),
        tally_(plan),
        // A hunter's hunt begins after the one before it has ended.
        window_(std::min(plan.hunters, simulation::window_runs_max)),
        slots_(std::min(plan.workers, window_.size())),
        buffer_(limits::worker_frame_bytes_max, '\0') {}

  Result<void> play(const SimulationProgress& progress);
  Simulated result(uint64_t wall_ns);

 private:
  Started& started(uint64_t run) { return window_[run % window_.size()]; }
  bool stopped() const { return !stopped_.empty(); }
  std::array<uint64_t, 2> seed_of(uint64_t run) const;
  std::string_view job(uint64_t run);
  std::string_view held_reply(uint64_t hunter);

  Result<void> start_runs();
  void wait_for_frames();
  void take_frames(Slot& slot);
  void take_frame(Slot& slot, std::string_view frame);
  void take_held_query(Slot& slot, wf_reader& reader);
  void take_state_query(Slot& slot, wf_reader& reader);
  void take_supply_query(Slot& slot, wf_reader& reader);
  void take_left_query(Slot& slot, wf_reader& reader);
  void reply_to_supply_query(Slot& slot);
  void reply_to_left_query(Slot& slot);
  void take_outcome(Slot& slot, wf_reader& reader);
  void send(Slot& slot, std::string_view frame);
  void end_run(Slot& slot, RunEnd end, std::string reason);
  void end_with_worker(Slot& slot, RunEnd end, std::string reason);
  void end_in_order();
  void watch();
  std::optional<Loot> loot_of(wf_text loot_id);

  const SimulationPlan plan_;
  const Bundle& bundle_;
  const std::string& worker_path_;
  const BundledHunt& hunt_;
  SeedKey seeds_;
  PretendLedger ledger_;
  RunTally tally_;
  std::vector<Started> window_;  // by the number of the run, modulo its size
  std::vector<Slot> slots_;
  uint64_t next_ = 0;  // the next run to start
  std::vector<pollfd> polled_;
  std::string buffer_;  // of the frame to send
  std::string stopped_;
};

// As a request of this hunter with this number as its Idempotency-Key.
std::array<uint64_t, 2> Simulation::seed_of(uint64_t run) const {
  return seeds_.seed(simulated_hunter_id(plan_.hunter_of(run)), plan_.hunt_id,
                     std::to_string(plan_.hunt_of(run) + 1));
}

std::string_view Simulation::job(uint64_t run) {
  std::string const hunter_id = simulated_hunter_id(plan_.hunter_of(run));
  std::array<uint64_t, 2> const seed = seed_of(run);
  wf_job job = hunt_job(hunt_, plan_.memory_bytes);
  job.flags = WF_JOB_MORE;
  job.seed[0] = seed[0];
  job.seed[1] = seed[1];
  job.now_ms = plan_.now_ms + static_cast<int64_t>(plan_.hunt_of(run) * plan_.every_ms);
  job.hunter_id = text_of(hunter_id);
  job.input = text_of(plan_.input);
  size_t const size = wf_write_job(buffer_.data(), buffer_.size(), &job);
  CHECK(size > 0);
  return {buffer_.data(), size};
}

std::string_view Simulation::held_reply(uint64_t hunter) {
  auto const held = ledger_.held(hunter);
  wf_writer writer = wf_begin(buffer_.data(), buffer_.size(), WF_REPLY_HELD);
  wf_put_u32(&writer, static_cast<uint32_t>(held.size()));
  for (const PretendLedger::Held& one : held) {
    const std::string& loot_id = ledger_.loot_id(one.loot);
    wf_put_text(&writer, loot_id.data(), loot_id.size());
    wf_put_u64(&writer, one.count);
  }
  return {buffer_.data(), wf_end(&writer)};
}

Result<void> Simulation::start_runs() {
  for (Slot& slot : slots_) {
    if (slot.busy) continue;
    if (next_ == plan_.runs() || next_ == tally_.runs() + window_.size()) break;
    slot.run = next_;
    std::string_view const frame = job(next_);
    // A worker that has ended since its last run gets no job: a new one does.
    if (!slot.worker || !slot.worker->send(frame)) {
      Result<WorkerProcess> worker =
          WorkerProcess::start(worker_path_, WF_ARGUMENT_IDLE, bundle_.descriptor(), frame);
      if (!worker) return worker.error();
      slot.worker.emplace(std::move(*worker));
    }
    ++next_;
    slot.busy = true;
    slot.watched = false;
    slot.waited_ns = 0;
    started(slot.run).played.clear();
    started(slot.run).ended = false;
  }
  return {};
}

void Simulation::wait_for_frames() {
  polled_.clear();
  for (const Slot& slot : slots_)
    polled_.push_back({slot.busy && !slot.waits ? slot.worker->descriptor() : -1, POLLIN, 0});
  poll(polled_.data(), polled_.size(), static_cast<int>(watch_every_ns / ns_per_ms));
  for (size_t i = 0; i < slots_.size(); ++i)
    if (polled_[i].revents != 0) take_frames(slots_[i]);
}

void Simulation::take_frames(Slot& slot) {
  while (slot.busy && !slot.waits) {
    std::optional<std::string_view> const frame = slot.worker->received_frame();
    if (!frame) return;
    if (frame->empty()) {
      int const status = slot.worker->end();
      end_with_worker(slot, RunEnd::worker_failed, end_of_worker(status));
      return;
    }
    take_frame(slot, *frame);
  }
}

void Simulation::take_frame(Slot& slot, std::string_view frame) {
  slot.asked_at_ns = monotonic_ns();
  wf_reader reader;
  switch (wf_open(&reader, frame.data(), frame.size())) {
    case WF_ASK_HELD:
      return take_held_query(slot, reader);
    case WF_ASK_STATE:
      return take_state_query(slot, reader);
    case WF_ASK_SUPPLY:
      return take_supply_query(slot, reader);
    case WF_ASK_LEFT:
      return take_left_query(slot, reader);
    case WF_OUTCOME:
      return take_outcome(slot, reader);
    default:
      end_with_worker(slot, RunEnd::worker_failed, "the worker sent a frame of an unknown type");
  }
}

void Simulation::take_held_query(Slot& slot, wf_reader& reader) {
  if (wf_all_read(&reader) == 0)
    return end_with_worker(slot, RunEnd::worker_failed, "the worker sent a malformed query");
  send(slot, held_reply(plan_.hunter_of(slot.run)));
}

void Simulation::take_state_query(Slot& slot, wf_reader& reader) {
  if (wf_all_read(&reader) == 0)
    return end_with_worker(slot, RunEnd::worker_failed, "the worker sent a malformed query");
  send(slot, state_reply(buffer_.data(), buffer_.size(), ledger_.state(plan_.hunter_of(slot.run))));
}

void Simulation::take_supply_query(Slot& slot, wf_reader& reader) {
  wf_get_u32(&reader);  // the position of the award
  std::optional<Loot> const loot = loot_of(wf_get_id(&reader));
  slot.limit = wf_get_u64(&reader);
  if (wf_all_read(&reader) == 0 || slot.limit > WF_SUPPLY_LIMIT_MAX)
    return end_with_worker(slot, RunEnd::worker_failed, "the worker sent a malformed query");
  if (!loot) return;
  if (started(slot.run).played.draws.size() == simulation::draws_max)
    return end_with_worker(
        slot, RunEnd::deadline,
        fmt::format("it asked for a limited loot {} times", simulation::draws_max));
  slot.loot = *loot;
  slot.waits = true;
  slot.asks_left = false;
  reply_to_supply_query(slot);
}

void Simulation::take_left_query(Slot& slot, wf_reader& reader) {
  std::optional<Loot> const loot = loot_of(wf_get_id(&reader));
  slot.limit = wf_get_u64(&reader);
  if (wf_all_read(&reader) == 0 || slot.limit > WF_SUPPLY_LIMIT_MAX ||
      started(slot.run).played.left.size() == limits::left_asked_max)
    return end_with_worker(slot, RunEnd::worker_failed, "the worker sent a malformed query");
  if (!loot) return;
  slot.loot = *loot;
  slot.waits = true;
  slot.asks_left = true;
  reply_to_left_query(slot);
}

// As below.
void Simulation::reply_to_left_query(Slot& slot) {
  PlayedRun& played = started(slot.run).played;
  std::optional<uint64_t> const left =
      ledger_.left(slot.loot, slot.limit, played.draws, slot.run - tally_.runs());
  if (!left) return;
  slot.waits = false;
  auto const own = std::count_if(
      played.draws.begin(), played.draws.end(),
      [&slot](const PretendLedger::Draw& draw) { return draw.loot == slot.loot && draw.granted; });
  played.left.emplace_back(slot.loot, *left + static_cast<uint64_t>(own));
  send(slot, left_reply(buffer_.data(), buffer_.size(), *left));
}

// Replies, unless that depends on earlier runs.
void Simulation::reply_to_supply_query(Slot& slot) {
  std::vector<PretendLedger::Draw>& draws = started(slot.run).played.draws;
  Unit const unit = ledger_.draw(slot.loot, slot.limit, draws, slot.run - tally_.runs());
  if (unit == Unit::later) return;
  slot.waits = false;
  if (unit == Unit::full)
    return end_with_worker(
        slot, RunEnd::supplies_full,
        fmt::format("the hunt has drawn on {} supplies already", limits::supplies_per_hunt_max));
  draws.push_back({slot.loot, unit == Unit::granted, slot.limit});
  send(slot, unit_reply(buffer_.data(), buffer_.size(), unit == Unit::granted));
}

void Simulation::take_outcome(Slot& slot, wf_reader& reader) {
  wf_outcome outcome;
  if (wf_read_outcome(&reader, &outcome) == 0)
    return end_with_worker(slot, RunEnd::worker_failed, "the outcome of the worker is malformed");
  PlayedRun& played = started(slot.run).played;
  RunEnd const end = run_end_of(outcome.status);
  std::string reason(view_of(outcome.reason));
  if (end == RunEnd::worker_failed) return end_with_worker(slot, end, std::move(reason));
  if (end == RunEnd::ok && outcome.state.data != nullptr)
    played.state = std::string(view_of(outcome.state));
  size_t units = 0;
  for (uint32_t i = 0; end == RunEnd::ok && i < outcome.award_count; ++i) {
    std::optional<Loot> const loot = loot_of(outcome.awards[i].loot_id);
    if (!loot) return;
    played.loot.push_back({*loot, wf_units(&outcome.awards[i])});
    if ((outcome.awards[i].flags & WF_AWARD_LIMITED) != 0) ++units;
  }
  auto const granted = [](const PretendLedger::Draw& draw) { return draw.granted; };
  auto const drawn = std::count_if(played.draws.begin(), played.draws.end(), granted);
  if (end == RunEnd::ok && units != static_cast<size_t>(drawn))
    return end_with_worker(slot, RunEnd::worker_failed, "a limited award without its unit");
  uint64_t const script_ns = script_ns_of(outcome);
  played.script_ns = script_ns > slot.waited_ns ? script_ns - slot.waited_ns : script_ns;
  end_run(slot, end, std::move(reason));
}

// Replies to a query. A worker that has ended meanwhile is noticed by its end of the stream.
void Simulation::send(Slot& slot, std::string_view frame) {
  slot.waited_ns += monotonic_ns() - slot.asked_at_ns;
  slot.worker->send(frame);
}

void Simulation::end_run(Slot& slot, RunEnd end, std::string reason) {
  Started& run = started(slot.run);
  run.played.end = end;
  run.played.reason = std::move(reason);
  run.ended = true;
  slot.busy = false;
  slot.waits = false;
}

// Ends a run whose worker can't have another one.
void Simulation::end_with_worker(Slot& slot, RunEnd end, std::string reason) {
  slot.worker.reset();
  started(slot.run).played.loot.clear();
  end_run(slot, end, std::move(reason));
}

// Lets the runs take effect that have ended, up to the first that has not.
void Simulation::end_in_order() {
  while (!stopped() && tally_.runs() < next_ && started(tally_.runs()).ended) {
    uint64_t const run = tally_.runs();
    if (!tally_.take(ledger_, started(run).played, [this, run] { return seed_of(run); }))
      stopped_ = fmt::format(
          "the hunters together hold more than {} different loot_ids each, or states of more than "
          "{} bytes",
          simulation::held_pairs_max, simulation::state_bytes_max);
  }
  for (Slot& slot : slots_)
    if (slot.waits && slot.asks_left)
      reply_to_left_query(slot);
    else if (slot.waits)
      reply_to_supply_query(slot);
}

void Simulation::watch() {
  uint64_t const deadline_ns = plan_.deadline_ms * ns_per_ms;
  for (Slot& slot : slots_) {
    if (!slot.busy || slot.waits) continue;
    uint64_t const cpu_ns = slot.worker->cpu_ns();
    if (!slot.watched) {
      slot.watched = true;
      slot.cpu_ns = cpu_ns;
    } else if (cpu_ns >= slot.cpu_ns + deadline_ns) {
      end_with_worker(
          slot, RunEnd::deadline,
          fmt::format("it ran longer than worker.deadline_ms, {} ms", plan_.deadline_ms));
    }
  }
}

std::optional<Loot> Simulation::loot_of(wf_text loot_id) {
  std::optional<Loot> const loot = ledger_.loot_of(view_of(loot_id));
  if (!loot && !stopped())
    stopped_ =
        fmt::format("the script awards more than {} different loot_ids", simulation::loot_ids_max);
  return loot;
}

Result<void> Simulation::play(const SimulationProgress& progress) {
  uint64_t watch_at_ns = monotonic_ns() + watch_every_ns;
  uint64_t progress_at_ns = monotonic_ns();
  while (tally_.runs() < plan_.runs() && !stopped()) {
    if (Result<void> made = start_runs(); !made) return made;
    wait_for_frames();
    end_in_order();
    uint64_t const now_ns = monotonic_ns();
    if (now_ns >= watch_at_ns) {
      watch();
      watch_at_ns = now_ns + watch_every_ns;
    }
    if (now_ns < progress_at_ns) continue;
    progress_at_ns = now_ns + progress_every_ns;
    if (!progress(tally_.runs())) break;
  }
  return {};
}

Simulated Simulation::result(uint64_t wall_ns) {
  Simulated simulated{tally_.figures(ledger_), stopped_};
  simulated.figures.times.wall_ns = wall_ns;
  return simulated;
}

}  // namespace

Result<Simulated> simulate(const Bundle& bundle, const std::string& worker_path,
                           const SimulationPlan& plan, const SimulationProgress& progress) {
  CHECK(bundle.find(plan.hunt_id) != nullptr && plan.runs() > 0);
  uint64_t const started_at_ns = monotonic_ns();
  Simulation simulation(bundle, worker_path, plan);
  if (Result<void> played = simulation.play(progress); !played) return played.error();
  return simulation.result(monotonic_ns() - started_at_ns);
}

}  // namespace huntd
