#include "hunt/worker_pool.h"

#include <algorithm>

#include "base/check.h"

namespace huntd {
namespace {
constexpr uint64_t ns_per_ms = 1'000'000;
constexpr size_t frames_waiting_max = 4;
}  // namespace

WorkerPool::WorkerPool(WorkerHost& host, Scheduler& scheduler, CoreStats& stats,
                       WorkerLimits limits)
    : host_(host), scheduler_(scheduler), stats_(stats) {
  host_.set_user(*this);
  set_limits(limits);
}

void WorkerPool::set_limits(const WorkerLimits& limits) {
  limits_ = limits;
  while (places_.size() < limits_.max_live) {
    places_.push_back(std::make_unique<Place>(*this, static_cast<uint32_t>(places_.size())));
    free_.push_back(places_.back().get());
  }
}

WorkerPool::Place* WorkerPool::take_place() {
  if (free_.empty() || live_ >= limits_.max_live) return nullptr;
  Place* place = free_.back();
  free_.pop_back();
  ++live_;
  stats_.set(Gauge::workers_live, live_);
  place->frames.clear();
  place->begun = place->gone = place->overdue = false;
  place->has_run = true;
  place->spawn_errno = place->wait_status = 0;
  return place;
}

Task<WorkerPool::Admission> WorkerPool::admit() {
  Admission admission;
  uint64_t const asked_at_ns = scheduler_.now_ns();
  Place* place = queue_.empty() ? take_place() : nullptr;
  if (place == nullptr) {
    if (queue_.size() >= limits_.queue_max) {
      admission.refusal = Refusal::queue_full;
      co_return admission;
    }
    Slot<Place*> slot(scheduler_);
    queue_.push_back(&slot);
    stats_.set(Gauge::queue_length, static_cast<int64_t>(queue_.size()));
    std::optional<Place*> given =
        co_await slot.wait(asked_at_ns + limits_.queue_deadline_ms * ns_per_ms);
    if (!given) {
      std::erase(queue_, &slot);
      stats_.set(Gauge::queue_length, static_cast<int64_t>(queue_.size()));
      admission.refusal = Refusal::queue_deadline;
      co_return admission;
    }
    place = *given;
  }
  stats_.record(Stage::queue, scheduler_.now_ns() - asked_at_ns);
  admission.run.emplace(*this, *place);
  co_return admission;
}

void WorkerPool::free_if_over(Place& place) {
  if (place.has_run || (place.begun && !place.gone)) return;
  scheduler_.disarm(place);
  free_.push_back(&place);
  --live_;
  while (!queue_.empty()) {
    Place* next = take_place();
    if (next == nullptr) break;
    Slot<Place*>* waiter = queue_.front();
    queue_.pop_front();
    stats_.set(Gauge::queue_length, static_cast<int64_t>(queue_.size()));
    waiter->set(next);
  }
  stats_.set(Gauge::workers_live, live_);
}

void WorkerPool::on_worker_started(uint32_t index, uint64_t started_at_ns) {
  Place& place = *places_[index];
  stats_.add(Counter::workers_started);
  scheduler_.arm(place, started_at_ns + limits_.deadline_ms * ns_per_ms);
}

void WorkerPool::Place::on_deadline() {
  if (has_run) overdue = true;
  pool.stats_.add(Counter::workers_killed);
  pool.host_.kill(index);
}

void WorkerPool::on_worker_frame(uint32_t index, std::string_view frame) {
  Place& place = *places_[index];
  if (!place.has_run) return;
  // An honest worker waits for each answer.
  if (place.frames.size() >= frames_waiting_max) return host_.kill(index);
  place.frames.emplace_back(frame);
  place.said.set({});
}

void WorkerPool::on_worker_exit(uint32_t index, int spawn_errno, int wait_status) {
  Place& place = *places_[index];
  place.gone = true;
  place.spawn_errno = spawn_errno;
  place.wait_status = wait_status;
  scheduler_.disarm(place);
  if (place.has_run) place.said.set({});
  free_if_over(place);
}

WorkerPool::Run::~Run() {
  if (pool_ == nullptr) return;
  place_->has_run = false;
  if (place_->begun && !place_->gone) {
    pool_->host_.kill(place_->index);
    pool_->host_.dismiss(place_->index);
  }
  pool_->free_if_over(*place_);
}

void WorkerPool::Run::begin(std::string_view hunter_id, std::string_view job) {
  CHECK(!place_->begun);
  place_->begun = true;
  pool_->host_.start(place_->index, hunter_id, job);
}

Task<WorkerSaid> WorkerPool::Run::next() {
  Place& place = *place_;
  while (place.frames.empty() && !place.gone) co_await place.said.wait();
  WorkerSaid said;
  if (!place.frames.empty()) {
    said.what = WorkerSaid::What::frame;
    said.frame = std::move(place.frames.front());
    place.frames.pop_front();
  } else if (place.spawn_errno != 0) {
    said.what = WorkerSaid::What::not_started;
    said.spawn_errno = place.spawn_errno;
  } else {
    said.what = place.overdue ? WorkerSaid::What::deadline : WorkerSaid::What::died;
    said.wait_status = place.wait_status;
  }
  co_return said;
}

void WorkerPool::Run::answer(std::string_view frame) { pool_->host_.send(place_->index, frame); }

void WorkerPool::Run::done() {
  place_->has_run = false;
  if (!place_->gone) pool_->host_.dismiss(place_->index);
  pool_->free_if_over(*place_);
  pool_ = nullptr;
}

}  // namespace huntd
