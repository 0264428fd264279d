// SPDX-License-Identifier: Apache-2.0
#include "base/scheduler.h"

#include <algorithm>

#include "base/limits.h"

namespace huntd {

void Scheduler::run_ready() {
  while (!ready_.empty()) {
    std::coroutine_handle<> handle = ready_.front();
    ready_.pop_front();
    handle.resume();
  }
}

void Scheduler::arm(Deadline& deadline, uint64_t at_ns) {
  if (deadline.armed()) {
    uint64_t const before_ns = std::exchange(deadline.at_ns_, at_ns);
    heap_[deadline.heap_index_].at_ns = at_ns;
    if (at_ns < before_ns)
      sift_up(deadline.heap_index_);
    else
      sift_down(deadline.heap_index_);
    return;
  }
  deadline.at_ns_ = at_ns;
  heap_.push_back({at_ns, &deadline});
  deadline.heap_index_ = heap_.size() - 1;
  sift_up(deadline.heap_index_);
}

void Scheduler::disarm(Deadline& deadline) {
  if (!deadline.armed()) return;
  size_t const hole = deadline.heap_index_;
  CHECK(hole < heap_.size() && heap_[hole].deadline == &deadline);
  deadline.heap_index_ = Deadline::unarmed;
  Entry const last = heap_.back();
  heap_.pop_back();
  if (last.deadline == &deadline) return;
  put(hole, last);
  sift_up(hole);
  sift_down(last.deadline->heap_index_);
}

void Scheduler::set_now(uint64_t now_ns, uint64_t counted_max_ns) {
  if (now_ns > now_ns_) ran_ns_ += std::min(now_ns - now_ns_, counted_max_ns);
  now_ns_ = now_ns;
}

void Scheduler::expire(uint64_t now_ns) {
  set_now(now_ns);
  while (!heap_.empty() && heap_[0].at_ns <= now_ns) {
    Deadline* due = heap_[0].deadline;
    disarm(*due);
    due->on_deadline();
  }
}

void Scheduler::put(size_t at, Entry entry) {
  heap_[at] = entry;
  entry.deadline->heap_index_ = at;
}

void Scheduler::sift_up(size_t at) {
  Entry const moving = heap_[at];
  while (at > 0) {
    size_t const parent = (at - 1) / heap_children;
    if (heap_[parent].at_ns <= moving.at_ns) break;
    put(at, heap_[parent]);
    at = parent;
  }
  put(at, moving);
}

void Scheduler::sift_down(size_t at) {
  Entry const moving = heap_[at];
  for (;;) {
    size_t const first = heap_children * at + 1;
    if (first >= heap_.size()) break;
    size_t const end = std::min(first + heap_children, heap_.size());
    size_t least = first;
    for (size_t child = first + 1; child < end; ++child)
      if (heap_[child].at_ns < heap_[least].at_ns) least = child;
    if (moving.at_ns <= heap_[least].at_ns) break;
    put(at, heap_[least]);
    at = least;
  }
  put(at, moving);
}

}  // namespace huntd
