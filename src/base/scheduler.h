// SPDX-License-Identifier: Apache-2.0
// A core's scheduler: coroutines that are ready to resume, and deadlines. It has no clock of its
// own: the tick (linux/core_process.cc) sets the time, and so do tests.
#pragma once
#include <coroutine>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "base/pool.h"

namespace huntd {

class Scheduler;

inline constexpr uint64_t never_ns = UINT64_MAX;

// A deadline. It does nothing until it is armed, and must be disarmed before it is destroyed.
// on_deadline() runs in the tick's timer step; it may only mark coroutines ready.
class Deadline {
 public:
  Deadline() = default;
  virtual ~Deadline() { CHECK(!armed()); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  bool armed() const { return heap_index_ != unarmed; }
  uint64_t at_ns() const { return at_ns_; }

 protected:
  virtual void on_deadline() = 0;

 private:
  friend class Scheduler;
  static constexpr size_t unarmed = SIZE_MAX;
  uint64_t at_ns_ = never_ns;
  size_t heap_index_ = unarmed;
};

class Scheduler {
 public:
  // Resumes `handle` later in this tick, or in the next if this tick's resume step is over. A
  // coroutine is never resumed from within another coroutine's step.
  void ready(std::coroutine_handle<> handle) { ready_.push_back(handle); }
  // Resumes coroutines until none is ready.
  void run_ready();
  bool has_ready() const { return !ready_.empty(); }

  // Arms or moves a deadline. `at_ns` is on the clock that expire() is called with.
  void arm(Deadline& deadline, uint64_t at_ns);
  void disarm(Deadline& deadline);
  // The nearest deadline, or never_ns.
  uint64_t next_deadline_at_ns() const { return heap_.empty() ? never_ns : heap_[0].at_ns; }
  // Sets now_ns() to `now_ns` and fires every deadline at or before it.
  void expire(uint64_t now_ns);
  // The monotonic time of this tick.
  uint64_t now_ns() const { return now_ns_; }
  // Of the time since the last call, at most `counted_max_ns` counts in ran_ns().
  void set_now(uint64_t now_ns, uint64_t counted_max_ns = limits::tick_counted_max_ns);
  // The time in which this core ran. A peer's silence and a worker's deadline are measured in it:
  // what they sent while the core was stopped has not been read yet.
  uint64_t ran_ns() const { return ran_ns_; }

 private:
  struct Entry {
    uint64_t at_ns;
    Deadline* deadline;
  };
  static constexpr size_t heap_children = 4;  // of each entry
  void put(size_t at, Entry entry);
  void sift_up(size_t at);
  void sift_down(size_t at);

  PoolDeque<std::coroutine_handle<>> ready_;
  // With the times in the heap itself, four to a level: a heap of ten thousand connections is out of
  // the caches, and each level costs one line of them.
  std::vector<Entry> heap_;
  uint64_t now_ns_ = 0;
  uint64_t ran_ns_ = 0;
};

// Passes one value from a callback to one coroutine, with a deadline. It usually lives in the
// waiting coroutine's frame: pointers to it must be dropped before the frame ends. Only the first
// set() counts.
template <class T>
class OneShot final : private Deadline {
 public:
  explicit OneShot(Scheduler& scheduler) : scheduler_(scheduler) {}
  ~OneShot() override {
    if (armed()) scheduler_.disarm(*this);
  }

  void set(T value) {
    if (value_.has_value()) return;
    value_.emplace(std::move(value));
    if (armed()) scheduler_.disarm(*this);
    if (waiter_) scheduler_.ready(std::exchange(waiter_, nullptr));
  }
  bool is_set() const { return value_.has_value(); }

  // Waits for set(), at most until `deadline_at_ns`. Returns the value, or nothing if the deadline
  // came first. Afterwards it is empty and can be waited on again.
  auto wait(uint64_t deadline_at_ns = never_ns) {
    struct Awaiter {
      OneShot& event;
      uint64_t deadline_at_ns;
      bool await_ready() const { return event.value_.has_value(); }
      void await_suspend(std::coroutine_handle<> waiter) {
        CHECK(!event.waiter_);
        event.waiter_ = waiter;
        if (deadline_at_ns != never_ns) event.scheduler_.arm(event, deadline_at_ns);
      }
      std::optional<T> await_resume() { return std::exchange(event.value_, std::nullopt); }
    };
    return Awaiter{*this, deadline_at_ns};
  }

 private:
  void on_deadline() override {
    if (waiter_) scheduler_.ready(std::exchange(waiter_, nullptr));
  }

  Scheduler& scheduler_;
  std::optional<T> value_;
  std::coroutine_handle<> waiter_;
};

// The value of a OneShot that only reports that something happened.
struct Signal {};

}  // namespace huntd
