// What one core's coroutines wait on: a queue of handles to resume, and deadlines. Pure: the tick
// (core.cc) feeds it the time, and tests feed it any time they like.
#pragma once
#include <coroutine>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/pool.h"

namespace huntd {

class Scheduler;

inline constexpr uint64_t never_ns = UINT64_MAX;

// One deadline. Inert until armed; must outlive its arming or be disarmed; `on_deadline` runs in
// the tick's timer step and may only mark things ready.
class Deadline {
 public:
  Deadline() = default;
  virtual ~Deadline() { CHECK(!armed()); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  bool armed() const { return heap_place_ != unarmed; }
  uint64_t at_ns() const { return at_ns_; }

 protected:
  virtual void on_deadline() = 0;

 private:
  friend class Scheduler;
  static constexpr size_t unarmed = SIZE_MAX;
  uint64_t at_ns_ = never_ns;
  size_t heap_place_ = unarmed;
};

class Scheduler {
 public:
  // Resumes `handle` later in this tick (or the next, where the resume step is over). Nothing is
  // ever resumed from inside another coroutine's step.
  void ready(std::coroutine_handle<> handle) { ready_.push_back(handle); }
  // Resumes what is ready until nothing is.
  void run_ready();
  bool has_ready() const { return !ready_.empty(); }

  // Arms (or moves) a deadline; `at_ns` on the clock that is given to expire().
  void arm(Deadline& deadline, uint64_t at_ns);
  void disarm(Deadline& deadline);
  // The nearest deadline, never_ns for none.
  uint64_t next_deadline_at_ns() const { return heap_.empty() ? never_ns : heap_[0]->at_ns_; }
  // Fires every deadline at or before `now_ns`, and makes it the time that now_ns() tells.
  void expire(uint64_t now_ns);
  // The time of this tick (monotonic).
  uint64_t now_ns() const { return now_ns_; }
  void set_now(uint64_t now_ns) { now_ns_ = now_ns; }

 private:
  void place(size_t at, Deadline* deadline);
  void sift_up(size_t at);
  void sift_down(size_t at);

  Queue<std::coroutine_handle<>> ready_;
  std::vector<Deadline*> heap_;
  uint64_t now_ns_ = 0;
};

// One value from a callback to one coroutine, with a deadline. It lives in the waiting frame (or
// outlives it); whoever holds a pointer to it must let go before the frame ends. The first set()
// wins.
template <class T>
class Slot final : private Deadline {
 public:
  explicit Slot(Scheduler& scheduler) : scheduler_(scheduler) {}
  ~Slot() override {
    if (armed()) scheduler_.disarm(*this);
  }

  void set(T value) {
    if (value_.has_value()) return;
    value_.emplace(std::move(value));
    if (armed()) scheduler_.disarm(*this);
    if (waiter_) scheduler_.ready(std::exchange(waiter_, nullptr));
  }
  bool is_set() const { return value_.has_value(); }

  // Waits for set(), at most until `deadline_at_ns`: the value, or nothing where the deadline came
  // first (a later set() is then ignored). Afterwards the slot is empty and can be waited on again.
  auto wait(uint64_t deadline_at_ns = never_ns) {
    struct Awaiter {
      Slot& slot;
      uint64_t deadline_at_ns;
      bool await_ready() const { return slot.value_.has_value(); }
      void await_suspend(std::coroutine_handle<> waiter) {
        CHECK(!slot.waiter_);
        slot.waiter_ = waiter;
        if (deadline_at_ns != never_ns) slot.scheduler_.arm(slot, deadline_at_ns);
      }
      std::optional<T> await_resume() { return std::exchange(slot.value_, std::nullopt); }
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

// What a Slot carries where only the moment matters.
struct Signal {};

}  // namespace huntd
