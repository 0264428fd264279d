// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/worker_pool.h"

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "metrics/start_failure.h"

namespace huntd::server {
namespace {

using State = WorkerSlot::State;
using Process = WorkerSlot::Process;
using Killed = WorkerSlot::Killed;

constexpr size_t frames_waiting_max = 4;

constexpr Counter runs_counter(Isolation isolation) {
  switch (isolation) {
    case Isolation::process:
      return Counter::runs_process;
    case Isolation::fork:
      return Counter::runs_fork;
    case Isolation::task:
      return Counter::runs_task;
    case Isolation::batch:
      break;
  }
  return Counter::runs_batch;
}

}  // namespace

WorkerPool::WorkerPool(WorkerHost& host, Scheduler& scheduler, CoreMetrics& metrics,
                       WorkerLimits limits)
    : host_(host), scheduler_(scheduler), metrics_(metrics), limits_(limits) {
  host_.set_user(*this);
}

WorkerPool::~WorkerPool() { scheduler_.disarm(start_retry_); }

void WorkerPool::use(const WorkerLimits& limits, int bundle_descriptor) {
  limits_ = limits;
  ++generation_;
  while (!idle_.empty()) stop_idle(*idle_.back());
  host_.use_bundle(bundle_descriptor,
                   limits.isolation == Isolation::fork ? StartMethod::fork : StartMethod::exec);
  keep_warm();
}

void WorkerPool::drain() {
  draining_ = true;
  scheduler_.disarm(start_retry_);
  while (!idle_.empty()) stop_idle(*idle_.back());
}

// --- slots ---------------------------------------------------------------------------------------

// Counts as live from now on; the caller moves it to its next state.
WorkerSlot& WorkerPool::empty_slot() {
  if (empty_.empty()) {
    slots_.push_back(
        std::make_unique<WorkerSlot>(*this, scheduler_, static_cast<uint32_t>(slots_.size())));
    empty_.push_back(slots_.back().get());
  }
  WorkerSlot& slot = *empty_.back();
  empty_.pop_back();
  ++live_;
  metrics_.set(Gauge::workers_live, live_);
  slot.jobs = 0;
  slot.deadline_ms = limits_.deadline_ms;
  slot.hunt_id.clear();
  return slot;
}

void WorkerPool::release(WorkerSlot& slot) {
  slot.become(State::empty);
  scheduler_.disarm(slot);
  empty_.push_back(&slot);
  --live_;
  metrics_.set(Gauge::workers_live, live_);
  admit_next();
  keep_warm();
}

// Whether an idle worker may get a job of this hunt.
bool WorkerPool::may_run(const WorkerSlot& slot, std::string_view hunt_id) const {
  return !limits_.batch_per_hunt || slot.jobs == 0 || slot.hunt_id == hunt_id;
}

// Of the idle workers that may run this hunt, the one that was used last; null: there is none.
WorkerSlot* WorkerPool::idle_worker_for(std::string_view hunt_id) const {
  for (auto slot = idle_.rbegin(); slot != idle_.rend(); ++slot)
    if (may_run(**slot, hunt_id)) return *slot;
  return nullptr;
}

// Whether a run may have an empty slot. If the only room is that of an idle worker of another hunt,
// the one that has waited longest is stopped: until it is gone, max_live is exceeded by one.
bool WorkerPool::make_room() {
  if (live_ < limits_.max_live) return true;
  if (live_ > limits_.max_live || idle_.empty()) return false;
  if (may_start()) stop_idle(*idle_.front());
  return true;
}

// A slot for a run, with an idle worker if there is one; null if max_live are in use, or enough
// hunts are in flight. The run counts as in flight from now on.
WorkerSlot* WorkerPool::claim_slot(std::string_view hunt_id) {
  if (in_flight_ >= limits_.hunts_in_flight_max) return nullptr;
  WorkerSlot* slot = idle_worker_for(hunt_id);
  if (slot != nullptr) {
    leave_idle(*slot, State::claimed);
  } else if (make_room()) {
    slot = &empty_slot();
    slot->become(State::claimed);
  } else {
    return nullptr;
  }
  slot->frames.clear();
  slot->killed = Killed::no;
  ++in_flight_;
  return slot;
}

// An idle worker that is being killed, or has a bundle that was replaced since, can't take a job.
bool WorkerPool::must_swap(const WorkerSlot& slot) const {
  return slot.has_process() && (slot.killed != Killed::no || slot.generation != generation_);
}

// Gives a run that has not started an empty slot instead of its own, and stops the worker of the
// latter.
void WorkerPool::swap_slot(WorkerSlot*& slot) {
  slot->become(State::exiting);
  stop(*slot);
  slot = &empty_slot();  // for a moment max_live is exceeded by one
  slot->become(State::claimed);
  slot->frames.clear();
  slot->killed = Killed::no;
}

// Whether a worker that has had `jobs` may get another one after its next.
bool WorkerPool::may_reuse(uint32_t jobs) const {
  bool const for_many =
      limits_.isolation == Isolation::batch || limits_.isolation == Isolation::task;
  return for_many && jobs + 1 < limits_.hunts_per_worker;
}

// After its outcome.
bool WorkerPool::can_take_another(const WorkerSlot& slot) const {
  bool const ended_well = !slot.is_holder || (slot.clean && slot.wait_status == 0);
  return slot.reusable && ended_well && slot.killed == Killed::no && slot.frames.empty() &&
         slot.generation == generation_ && !draining_;
}

void WorkerPool::make_idle(WorkerSlot& slot) {
  slot.become(State::idle);
  idle_.push_back(&slot);
  scheduler_.arm(slot, scheduler_.now_ns() + limits_.idle_ms * ns_per_ms);
}

void WorkerPool::leave_idle(WorkerSlot& slot, State next) {
  slot.become(next);
  std::erase(idle_, &slot);
  scheduler_.disarm(slot);
}

void WorkerPool::stop_idle(WorkerSlot& slot) {
  leave_idle(slot, State::exiting);
  stop(slot);
}

// The worker has no job, so it exits at once; if it does not, it is killed at the deadline.
void WorkerPool::stop(WorkerSlot& slot) {
  host_.stop(slot.index);
  slot.deadline_ms = limits_.deadline_ms;
  start_deadline(slot, scheduler_.now_ns());
}

void WorkerPool::kill(WorkerSlot& slot, Killed reason) {
  if (slot.killed == Killed::no) slot.killed = reason;
  host_.kill(slot.index);
}

// A worker must not be killed because its core was stopped: what it has sent is not read yet, and it
// may wait for a reply. So the time in which the core did not run does not count.
void WorkerPool::start_deadline(WorkerSlot& slot, uint64_t from_ns) {
  uint64_t const deadline_ns = slot.deadline_ms * ns_per_ms;
  uint64_t const since_ns = scheduler_.now_ns() - std::min(from_ns, scheduler_.now_ns());
  uint64_t const ran_ns = scheduler_.ran_ns();
  slot.deadline_ran_ns = ran_ns - std::min(since_ns, ran_ns - slot.job_ran_ns) + deadline_ns;
  scheduler_.arm(slot, from_ns + deadline_ns);
}

// The idle workers that any hunt may have.
size_t WorkerPool::warm_workers() const {
  if (!limits_.batch_per_hunt) return idle_.size();
  auto const is_new = [](const WorkerSlot* slot) { return slot->jobs == 0; };
  return static_cast<size_t>(std::count_if(idle_.begin(), idle_.end(), is_new));
}

void WorkerPool::keep_warm() {
  if (std::exchange(warming_, true)) return;  // a start that fails at once calls release()
  while (!draining_ && !launcher_silent_ && !backoff_.failed() && warm_workers() < limits_.warm &&
         live_ < limits_.max_live)
    start_idle();
  warming_ = false;
}

// Starts a worker that waits for a job.
void WorkerPool::start_waiting(WorkerSlot& slot) {
  slot.is_holder = limits_.isolation == Isolation::task;
  if (slot.is_holder)
    host_.start_holder(slot.index, limits_.memory_bytes);
  else
    host_.start_idle(slot.index);
}

void WorkerPool::start_idle() {
  WorkerSlot& slot = empty_slot();
  slot.process = Process::starting;
  slot.generation = generation_;
  slot.killed = Killed::no;
  make_idle(slot);
  if (backoff_.failed()) probe_ = &slot;
  start_waiting(slot);
}

// --- starts that fail ----------------------------------------------------------------------------

void WorkerPool::on_start_failed(int spawn_errno, int wait_status) {
  if (draining_) return;
  uint64_t const now_ns = scheduler_.now_ns();
  backoff_.on_failed(now_ns, spawn_errno, wait_status);
  scheduler_.arm(start_retry_, backoff_.next_at_ns());
  if (backoff_.failing()) report_start_failure(now_ns);
}

void WorkerPool::report_start_failure(uint64_t now_ns) {
  show_start_failure();
  uint64_t const code = metrics_.value(Gauge::worker_start_failure);
  if (now_ns < start_failure_log_at_ns_) return;
  start_failure_log_at_ns_ = now_ns + limits::start_failure_log_every_ns;
  start_failure_logged_ = true;
  log::error("workers cannot be started",
             {{"error", start_failure_text(code)},
              {"hint",
               "see TasksMax= of the unit, pids.max and memory.max of its control group, "
               "worker.binary"}});
}

void WorkerPool::show_start_failure() {
  uint64_t code = 0;
  if (backoff_.failing()) code = start_failure_code(backoff_.spawn_errno(), backoff_.wait_status());
  if (launcher_silent_) code = start_failure_silent;
  metrics_.set(Gauge::worker_start_failure, code);
}

// Whether a hunt may start a worker now.
bool WorkerPool::may_start() const {
  return !launcher_silent_ && backoff_.may_start(scheduler_.now_ns());
}

// Runs that have been requested wait for their deadlines; further ones are rejected at once.
void WorkerPool::on_launcher(bool answers) {
  launcher_silent_ = !answers;
  if (draining_) return;
  show_start_failure();
  if (answers) {
    log::notice("the process that starts workers answers again");
    return keep_warm();
  }
  log::error(
      "workers cannot be started",
      {{"error", start_failure_text(start_failure_silent)},
       {"hint", "a stopped process goes on by kill -CONT; if it is killed, it is replaced"}});
}

void WorkerPool::on_start_succeeded() {
  uint64_t const rounds = backoff_.rounds();
  backoff_.on_succeeded();
  probe_ = nullptr;
  scheduler_.disarm(start_retry_);
  show_start_failure();
  if (std::exchange(start_failure_logged_, false))
    log::notice("workers can be started again", {{"attempts", rounds}});
  keep_warm();
}

// The end of a pause. An idle worker from before the failures says nothing about a start.
void WorkerPool::retry_start() {
  bool const waits = probe_ != nullptr && probe_->state == State::idle && probe_->jobs == 0;
  if (waits && probe_->process == Process::up) return on_start_succeeded();
  scheduler_.arm(start_retry_, scheduler_.now_ns() + backoff_.pause_ns());
  if (!waits && !launcher_silent_ && live_ < limits_.max_live) start_idle();
}

// The run ends as one whose start failed; the kernel is not asked.
void WorkerPool::reject_start(WorkerSlot& slot) {
  slot.process = Process::none;
  slot.spawn_errno = backoff_.spawn_errno() != 0 ? backoff_.spawn_errno() : ECHILD;
  if (launcher_silent_) slot.spawn_errno = EAGAIN;
  slot.become(State::exited);
  slot.event_ready.set({});
}

// --- the queue -----------------------------------------------------------------------------------

WorkerPool::InFlight::~InFlight() {
  if (pool_ == nullptr) return;
  --pool_->in_flight_;
  pool_->admit_next();
}

void WorkerPool::admit_next() {
  while (!queue_.empty()) {
    Waiter const waiter = queue_.front();
    WorkerSlot* const slot = claim_slot(waiter.hunt_id);
    if (slot == nullptr) return;
    queue_.pop_front();
    metrics_.set(Gauge::queue_length, static_cast<int64_t>(queue_.size()));
    waiter.admitted->set(slot);
  }
}

void WorkerPool::leave_queue(const OneShot<WorkerSlot*>& admitted) {
  // Usually the front: deadlines pass in the order of arrival.
  if (queue_.front().admitted == &admitted)
    queue_.pop_front();
  else
    std::erase_if(queue_,
                  [&admitted](const Waiter& waiter) { return waiter.admitted == &admitted; });
  metrics_.set(Gauge::queue_length, static_cast<int64_t>(queue_.size()));
}

// A burst may wait until the queue's deadline. A standing queue holds only as many as are served
// within the target; a longer one would not serve more.
bool WorkerPool::must_shed(uint64_t now_ns) {
  uint64_t const target_ns = limits_.queue_target_ms * ns_per_ms;
  bool const slow = !queue_.empty() && now_ns - queue_.front().since_ns >= target_ns;
  if (!standing_.standing(now_ns, slow)) return false;
  if (!slow && queue_.size() < standing_.room(now_ns, target_ns)) return false;
  standing_.on_rejected(now_ns);
  return true;
}

bool WorkerPool::sheds_now() { return has_queue() && must_shed(scheduler_.now_ns()); }

Task<WorkerPool::Admission> WorkerPool::admit(std::string_view hunt_id, uint64_t start_by_ns) {
  Admission admission;
  uint64_t const asked_at_ns = scheduler_.now_ns();
  if (asked_at_ns > start_by_ns) {
    admission.rejection = Rejection::late;
    co_return admission;
  }
  WorkerSlot* slot = queue_.empty() ? claim_slot(hunt_id) : nullptr;
  if (slot == nullptr) {
    if (queue_.size() >= limits_.queue_max) {
      admission.rejection = Rejection::queue_full;
      co_return admission;
    }
    if (must_shed(asked_at_ns)) {
      admission.rejection = Rejection::standing_queue;
      co_return admission;
    }
    OneShot<WorkerSlot*> admitted(scheduler_);
    if (queue_.empty()) standing_.on_first(asked_at_ns);
    queue_.push_back({&admitted, hunt_id, asked_at_ns});
    metrics_.set(Gauge::queue_length, static_cast<int64_t>(queue_.size()));
    bool const standing = standing_.standing(asked_at_ns, false);
    uint64_t const wait_ms = standing ? limits_.queue_target_ms : limits_.queue_deadline_ms;
    uint64_t const until_ns = asked_at_ns + wait_ms * ns_per_ms;
    std::optional<WorkerSlot*> const given =
        co_await admitted.wait(std::min(until_ns, start_by_ns));
    if (!given) {
      leave_queue(admitted);
      if (standing) standing_.on_rejected(scheduler_.now_ns());
      admission.rejection = until_ns <= start_by_ns ? Rejection::queue_deadline : Rejection::late;
      co_return admission;
    }
    slot = *given;
  }
  uint64_t const now_ns = scheduler_.now_ns();
  standing_.on_served(now_ns, limits_.queue_target_ms * ns_per_ms);
  admission.queue_ns = now_ns - asked_at_ns;
  metrics_.record(Stage::queue, admission.queue_ns);
  admission.in_flight.emplace(*this);
  admission.run.emplace(*this, *slot);
  co_return admission;
}

// --- callbacks of the host -----------------------------------------------------------------------

void WorkerPool::on_worker_started(uint32_t index, uint64_t started_at_ns) {
  WorkerSlot& slot = *slots_[index];
  CHECK(slot.process == Process::starting);
  slot.process = Process::up;
  slot.started_at_ns = started_at_ns;
  metrics_.add(Counter::workers_started);
  if (slot.state == State::running || slot.state == State::exiting)
    start_deadline(slot, started_at_ns);
}

void WorkerPool::on_worker_frame(uint32_t index, std::string_view frame) {
  WorkerSlot& slot = *slots_[index];
  if (slot.state != State::running) return kill_for_protocol(slot);
  if (backoff_.failed() && slot.started_at_ns > backoff_.failed_at_ns()) on_start_succeeded();
  // A correct worker waits for the reply to each of its frames.
  if (slot.frames.size() >= frames_waiting_max) return kill(slot, Killed::flooding);
  slot.frames.emplace_back(frame);
  slot.event_ready.set({});
}

// The worker sent a frame without a job. If it had one before, that hunt has its response already,
// so this is only counted and logged, once. If its run was dropped, the worker has already been
// killed, and the frame was on its way.
void WorkerPool::kill_for_protocol(WorkerSlot& slot) {
  if (slot.state == State::idle) leave_idle(slot, State::exiting);
  kill(slot, Killed::protocol);
  if (slot.hunt_id.empty()) return;
  metrics_.failures.add(slot.hunt_id, 0, FailureReason::broken_frame);
  if (log_budget_.take(scheduler_.now_ns()))
    log::warning("a worker sent a frame after its outcome",
                 {{"hunt_id", slot.hunt_id}, {"reason", "broken_frame"}});
  slot.hunt_id.clear();
}

void WorkerPool::on_worker_clean(uint32_t index, int wait_status) {
  WorkerSlot& slot = *slots_[index];
  slot.clean = true;
  slot.wait_status = wait_status;
  switch (slot.state) {
    case State::running:  // its frames are read first
      return slot.event_ready.set({});
    case State::cleaning:
      if (!can_take_another(slot)) {
        slot.become(State::exiting);
        return host_.stop(index);
      }
      make_idle(slot);
      return admit_next();
    case State::idle:  // the kernel ended a task that had no job
      leave_idle(slot, State::exiting);
      return kill(slot, Killed::protocol);
    case State::claimed:
      return kill(slot, Killed::protocol);
    case State::empty:
    case State::exited:
    case State::exiting:
      return;
  }
}

void WorkerPool::on_worker_exit(uint32_t index, int spawn_errno, int wait_status) {
  WorkerSlot& slot = *slots_[index];
  // A worker that had a job may have been ended by its script.
  bool const never_had_a_job =
      (slot.state == State::idle || slot.state == State::claimed) && slot.jobs == 0;
  if (spawn_errno != 0 || (never_had_a_job && slot.killed == Killed::no))
    on_start_failed(spawn_errno, wait_status);
  slot.process = Process::none;
  slot.started_at_ns = 0;
  slot.spawn_errno = spawn_errno;
  slot.wait_status = wait_status;
  scheduler_.disarm(slot);
  switch (slot.state) {
    case State::claimed:  // the run will start another process
      slot.killed = Killed::no;
      slot.jobs = 0;
      return;
    case State::running:
      slot.become(State::exited);
      return slot.event_ready.set({});
    case State::idle:
      std::erase(idle_, &slot);
      return release(slot);
    case State::empty:
    case State::cleaning:
    case State::exited:
    case State::exiting:
      return release(slot);
  }
}

void WorkerPool::on_deadline(WorkerSlot& slot) {
  if (slot.state == State::idle) {
    bool const is_warm = !limits_.batch_per_hunt || slot.jobs == 0;
    bool const may_stop = !is_warm || warm_workers() > limits_.warm;
    if (may_stop && &slot != probe_) return stop_idle(slot);
    return scheduler_.arm(slot, scheduler_.now_ns() + limits_.idle_ms * ns_per_ms);
  }
  if (uint64_t const ran_ns = scheduler_.ran_ns(); ran_ns < slot.deadline_ran_ns)
    return scheduler_.arm(slot, scheduler_.now_ns() + (slot.deadline_ran_ns - ran_ns));
  metrics_.add(Counter::workers_killed);
  kill(slot, Killed::deadline);
}

void WorkerSlot::on_deadline() { pool.on_deadline(*this); }

// --- a run ---------------------------------------------------------------------------------------

WorkerPool::Run::~Run() {
  if (pool_ == nullptr) return;
  if (slot_->state == State::running) slot_->hunt_id.clear();
  if (!slot_->has_process()) {
    pool_->release(*slot_);
    return;
  }
  slot_->become(State::exiting);
  pool_->host_.kill(slot_->index);
  pool_->host_.detach(slot_->index);
}

bool WorkerPool::Run::more_may_follow() const {
  uint32_t const jobs = pool_->must_swap(*slot_) ? 0 : slot_->jobs;
  return pool_->limits_.isolation == Isolation::batch && pool_->may_reuse(jobs);
}

void WorkerPool::Run::start(std::string_view hunt_id, std::string_view hunter_id,
                            std::string_view job, uint32_t deadline_ms) {
  WorkerPool& pool = *pool_;
  if (pool.must_swap(*slot_)) pool.swap_slot(slot_);
  WorkerSlot& slot = *slot_;
  bool const has_worker = slot.has_process();
  if (!has_worker) {
    slot.process = Process::starting;
    slot.generation = pool.generation_;
  }
  slot.become(State::running);
  slot.hunt_id = hunt_id;
  slot.deadline_ms = deadline_ms == 0 ? pool.limits_.deadline_ms : deadline_ms;
  slot.reusable = pool.may_reuse(slot.jobs);
  slot.clean = false;
  slot.job_ran_ns = pool.scheduler_.ran_ns();
  ++slot.jobs;
  pool.metrics_.add(runs_counter(pool.limits_.isolation));
  if (!has_worker && !pool.may_start()) return pool.reject_start(slot);
  if (has_worker) {
    if (slot.process == Process::up) pool.start_deadline(slot, pool.scheduler_.now_ns());
    pool.host_.send(slot.index, job);
    pool.keep_warm();
  } else if (slot.reusable || pool.limits_.isolation == Isolation::task) {
    pool.start_waiting(slot);
    pool.host_.send(slot.index, job);
  } else {
    slot.is_holder = false;
    pool.host_.start(slot.index, hunter_id, job);
  }
}

Task<WorkerEvent> WorkerPool::Run::next_event(uint64_t deadline_at_ns) {
  WorkerSlot& slot = *slot_;
  bool late = false;
  while (slot.frames.empty() && slot.has_process() && !slot.clean && !late) {
    std::optional<Signal> const came = co_await slot.event_ready.wait(deadline_at_ns);
    late = !came;
  }
  WorkerEvent event;
  if (!slot.frames.empty()) {
    event.kind = WorkerEvent::Kind::frame;
    event.frame = std::move(slot.frames.front());
    slot.frames.pop_front();
  } else if (!slot.has_process() && slot.spawn_errno != 0) {
    event.kind = WorkerEvent::Kind::not_started;
    event.spawn_errno = slot.spawn_errno;
  } else if (slot.killed == Killed::flooding) {
    event.kind = WorkerEvent::Kind::flooded;
  } else if (slot.killed == Killed::deadline) {
    event.kind = WorkerEvent::Kind::deadline;
  } else if (late && !slot.clean) {
    event.kind = WorkerEvent::Kind::late;
  } else {
    event.kind = WorkerEvent::Kind::died;
    event.wait_status = slot.wait_status;
  }
  co_return event;
}

void WorkerPool::Run::reply(std::string_view frame) { pool_->host_.send(slot_->index, frame); }

void WorkerPool::Run::done() {
  WorkerPool& pool = *std::exchange(pool_, nullptr);
  WorkerSlot& slot = *slot_;
  if (!slot.has_process()) return pool.release(slot);
  if (slot.is_holder && !slot.clean && slot.frames.empty()) return slot.become(State::cleaning);
  if (pool.can_take_another(slot)) {
    pool.make_idle(slot);
    return pool.admit_next();
  }
  slot.become(State::exiting);
  if (slot.reusable || slot.is_holder)
    pool.host_.stop(slot.index);
  else
    pool.host_.detach(slot.index);
}

}  // namespace huntd::server
