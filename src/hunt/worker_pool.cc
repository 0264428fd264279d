#include "hunt/worker_pool.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"

namespace huntd {
namespace {
constexpr uint64_t ns_per_ms = 1'000'000;
constexpr size_t frames_waiting_max = 4;

constexpr Counter runs_counter(Isolation isolation) {
  switch (isolation) {
    case Isolation::process:
      return Counter::runs_process;
    case Isolation::fork:
      return Counter::runs_fork;
    case Isolation::batch:
      break;
  }
  return Counter::runs_batch;
}
}  // namespace

WorkerPool::WorkerPool(WorkerHost& host, Scheduler& scheduler, CoreStats& stats,
                       WorkerLimits limits)
    : host_(host), scheduler_(scheduler), stats_(stats), limits_(limits) {
  host_.set_user(*this);
}

void WorkerPool::use(const WorkerLimits& limits, int bundle_descriptor) {
  limits_ = limits;
  ++generation_;
  while (!spares_.empty()) retire(*spares_.back());
  host_.use_bundle(bundle_descriptor,
                   limits.isolation == Isolation::fork ? Birth::fork : Birth::spawn);
  keep_warm();
}

void WorkerPool::drain() {
  draining_ = true;
  while (!spares_.empty()) retire(*spares_.back());
}

// --- places --------------------------------------------------------------------------------------

WorkerPool::Place* WorkerPool::free_place() {
  if (free_.empty()) {
    places_.push_back(std::make_unique<Place>(*this, static_cast<uint32_t>(places_.size())));
    free_.push_back(places_.back().get());
  }
  Place* place = free_.back();
  free_.pop_back();
  ++live_;
  stats_.set(Gauge::workers_live, live_);
  place->has_process = place->started = place->answered = place->unsound = false;
  place->jobs = 0;
  place->hunt_id.clear();
  return place;
}

// A place for a run: a spare's, else a free one; null where all are taken, or enough hunts are in
// flight. What is given counts as one.
WorkerPool::Place* WorkerPool::take_place() {
  if (in_flight_ >= limits_.hunts_in_flight_max) return nullptr;
  Place* place = nullptr;
  if (!spares_.empty()) {
    place = spares_.back();
    unspare(*place);
  } else if (live_ < limits_.max_live) {
    place = free_place();
  } else {
    return nullptr;
  }
  hold(*place);
  ++in_flight_;
  return place;
}

WorkerPool::InFlight::~InFlight() {
  if (pool_ == nullptr) return;
  --pool_->in_flight_;
  pool_->admit_next();
}

// A run has it, and nothing of the last one is left.
void WorkerPool::hold(Place& place) {
  place.frames.clear();
  place.begun = place.more = place.overdue = place.flooding = false;
  place.has_run = true;
  place.spawn_errno = place.wait_status = 0;
}

void WorkerPool::free_if_over(Place& place) {
  if (place.has_run || place.has_process) return;
  scheduler_.disarm(place);
  free_.push_back(&place);
  --live_;
  stats_.set(Gauge::workers_live, live_);
  admit_next();
  keep_warm();
}

void WorkerPool::admit_next() {
  while (!queue_.empty()) {
    Place* next = take_place();
    if (next == nullptr) return;
    Waiter const waiter = queue_.front();
    queue_.pop_front();
    stats_.set(Gauge::queue_length, static_cast<int64_t>(queue_.size()));
    waiter.slot->set(next);
  }
}

void WorkerPool::leave_queue(const Slot<Place*>& slot) {
  // All but always the first: who came first is late first.
  if (queue_.front().slot == &slot)
    queue_.pop_front();
  else
    std::erase_if(queue_, [&slot](const Waiter& waiter) { return waiter.slot == &slot; });
}

// A burst may wait for as long as the queue's deadline. A queue that stands has as many as are
// served within its target; a longer one would serve no more.
bool WorkerPool::refuses(uint64_t now_ns) {
  uint64_t const target_ns = limits_.queue_target_ms * ns_per_ms;
  bool const slow = !queue_.empty() && now_ns - queue_.front().since_ns >= target_ns;
  if (!standing_.stands(now_ns, slow)) return false;
  if (!slow && queue_.size() < standing_.room(now_ns, target_ns)) return false;
  standing_.on_refused(now_ns);
  return true;
}

bool WorkerPool::refuses_now() { return !queue_.empty() && refuses(scheduler_.now_ns()); }

Task<WorkerPool::Admission> WorkerPool::admit() {
  Admission admission;
  uint64_t const asked_at_ns = scheduler_.now_ns();
  Place* place = queue_.empty() ? take_place() : nullptr;
  if (place == nullptr) {
    if (queue_.size() >= limits_.queue_max) {
      admission.refusal = Refusal::queue_full;
      co_return admission;
    }
    if (refuses(asked_at_ns)) {
      admission.refusal = Refusal::queue_stands;
      co_return admission;
    }
    Slot<Place*> slot(scheduler_);
    if (queue_.empty()) standing_.on_first(asked_at_ns);
    queue_.push_back({&slot, asked_at_ns});
    stats_.set(Gauge::queue_length, static_cast<int64_t>(queue_.size()));
    bool const stands = standing_.stands(asked_at_ns, false);
    std::optional<Place*> given = co_await slot.wait(
        asked_at_ns + (stands ? limits_.queue_target_ms : limits_.queue_deadline_ms) * ns_per_ms);
    if (!given) {
      leave_queue(slot);
      if (stands) standing_.on_refused(scheduler_.now_ns());
      stats_.set(Gauge::queue_length, static_cast<int64_t>(queue_.size()));
      admission.refusal = Refusal::queue_deadline;
      co_return admission;
    }
    place = *given;
  }
  uint64_t const now_ns = scheduler_.now_ns();
  standing_.on_served(now_ns, limits_.queue_target_ms * ns_per_ms);
  stats_.record(Stage::queue, now_ns - asked_at_ns);
  admission.in_flight.emplace(*this);
  admission.run.emplace(*this, *place);
  co_return admission;
}

// --- spares --------------------------------------------------------------------------------------

void WorkerPool::make_spare(Place& place) {
  place.spare = true;
  spares_.push_back(&place);
  scheduler_.arm(place, scheduler_.now_ns() + limits_.idle_ms * ns_per_ms);
}

void WorkerPool::unspare(Place& place) {
  place.spare = false;
  std::erase(spares_, &place);
  scheduler_.disarm(place);
}

void WorkerPool::retire(Place& place) {
  unspare(place);
  send_away(place);
}

void WorkerPool::send_away(Place& place) {
  host_.retire(place.index);
  // It waits for nothing, so it goes at once; where it does not it is killed.
  scheduler_.arm(place, scheduler_.now_ns() + limits_.deadline_ms * ns_per_ms);
}

void WorkerPool::keep_warm() {
  while (!draining_ && spares_.size() < limits_.warm && live_ < limits_.max_live) {
    Place* place = free_place();
    place->has_process = true;
    place->generation = generation_;
    make_spare(*place);
    host_.start_spare(place->index);
  }
}

// --- what the host says --------------------------------------------------------------------------

void WorkerPool::on_worker_started(uint32_t index, uint64_t started_at_ns) {
  Place& place = *places_[index];
  place.started = true;
  stats_.add(Counter::workers_started);
  if (place.begun || !place.spare)
    scheduler_.arm(place, started_at_ns + limits_.deadline_ms * ns_per_ms);
}

void WorkerPool::Place::on_deadline() {
  if (spare) {
    if (pool.spares_.size() > pool.limits_.warm) return pool.retire(*this);
    return pool.scheduler_.arm(*this, pool.scheduler_.now_ns() + pool.limits_.idle_ms * ns_per_ms);
  }
  if (has_run) overdue = true;
  pool.stats_.add(Counter::workers_killed);
  pool.host_.kill(index);
}

void WorkerPool::on_worker_frame(uint32_t index, std::string_view frame) {
  Place& place = *places_[index];
  // An honest worker speaks only when it has a job.
  if (!place.has_run || !place.begun) {
    if (place.spare) unspare(place);
    return end_speaker(place);
  }
  // And it waits for each answer.
  if (place.frames.size() >= frames_waiting_max) {
    place.flooding = true;
    return host_.kill(index);
  }
  place.frames.emplace_back(frame);
  place.said.set({});
}

// Its hunt has been answered, so only the operator is told. One whose run was given up (its last
// words were on the way) is killed already.
void WorkerPool::end_speaker(Place& place) {
  host_.kill(place.index);
  place.unsound = true;
  if (!place.answered) return;
  place.answered = false;  // told once
  stats_.failures.add(place.hunt_id, 0, FailureReason::broken_frame);
  if (log_budget_.take(scheduler_.now_ns()))
    log::warning("a worker spoke after its outcome",
                 {{"hunt", place.hunt_id}, {"reason", "broken_frame"}});
}

void WorkerPool::on_worker_exit(uint32_t index, int spawn_errno, int wait_status) {
  Place& place = *places_[index];
  if (place.spare) unspare(place);
  place.has_process = false;
  place.spawn_errno = spawn_errno;
  place.wait_status = wait_status;
  scheduler_.disarm(place);
  if (place.has_run && place.begun) place.said.set({});
  free_if_over(place);
}

// --- a run ---------------------------------------------------------------------------------------

WorkerPool::Run::~Run() {
  if (pool_ == nullptr) return;
  place_->has_run = false;
  if (place_->has_process) {
    pool_->host_.kill(place_->index);
    pool_->host_.dismiss(place_->index);
  }
  pool_->free_if_over(*place_);
}

bool WorkerPool::Run::more_may_follow() const {
  const WorkerLimits& limits = pool_->limits_;
  return limits.isolation == Isolation::batch && place_->jobs + 1 < limits.hunts_per_worker;
}

void WorkerPool::Run::begin(std::string_view hunt_id, std::string_view hunter_id,
                            std::string_view job) {
  WorkerPool& pool = *pool_;
  CHECK(!place_->begun);
  // A spare that is being killed, or holds a bundle that was swapped since, is no help.
  if (place_->has_process && (place_->unsound || place_->generation != pool.generation_))
    pool.swap_place(place_);
  Place& place = *place_;
  place.begun = true;
  place.answered = false;
  place.hunt_id = hunt_id;
  place.more = more_may_follow();
  ++place.jobs;
  pool.stats_.add(runs_counter(pool.limits_.isolation));
  if (place.has_process) {
    if (place.started)
      pool.scheduler_.arm(place, pool.scheduler_.now_ns() + pool.limits_.deadline_ms * ns_per_ms);
    pool.host_.send(place.index, job);
    return pool.keep_warm();
  }
  place.has_process = true;
  place.started = false;
  place.generation = pool.generation_;
  if (place.more) {
    pool.host_.start_spare(place.index);
    pool.host_.send(place.index, job);
  } else {
    pool.host_.start(place.index, hunter_id, job);
  }
}

// Gives a run that has not begun a fresh place, and retires the worker of the one it held.
void WorkerPool::swap_place(Place*& place) {
  place->has_run = false;
  send_away(*place);
  place = free_place();  // for a moment one more than max_live
  hold(*place);
}

Task<WorkerSaid> WorkerPool::Run::next(uint64_t deadline_at_ns) {
  Place& place = *place_;
  bool late = false;
  while (place.frames.empty() && place.has_process && !late) {
    std::optional<Signal> const came = co_await place.said.wait(deadline_at_ns);
    late = !came;
  }
  WorkerSaid said;
  if (!place.frames.empty()) {
    said.what = WorkerSaid::What::frame;
    said.frame = std::move(place.frames.front());
    place.frames.pop_front();
  } else if (place.spawn_errno != 0) {
    said.what = WorkerSaid::What::not_started;
    said.spawn_errno = place.spawn_errno;
  } else if (place.flooding) {
    said.what = WorkerSaid::What::talks_too_much;
  } else {
    said.what = place.overdue || late ? WorkerSaid::What::deadline : WorkerSaid::What::died;
    said.wait_status = place.wait_status;
  }
  co_return said;
}

void WorkerPool::Run::answer(std::string_view frame) { pool_->host_.send(place_->index, frame); }

void WorkerPool::Run::done() {
  WorkerPool& pool = *std::exchange(pool_, nullptr);
  Place& place = *place_;
  place.has_run = false;
  place.answered = true;
  bool const reusable = place.more && place.has_process && !place.overdue && place.frames.empty() &&
                        place.generation == pool.generation_ && !pool.draining_;
  if (reusable) {
    place.begun = false;
    pool.scheduler_.disarm(place);
    pool.make_spare(place);
    return pool.admit_next();
  }
  if (place.has_process) {
    if (place.more)
      pool.host_.retire(place.index);
    else
      pool.host_.dismiss(place.index);
  }
  pool.free_if_over(place);
}

}  // namespace huntd
