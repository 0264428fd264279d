// Requests of one hunter run one at a time, in order of arrival, whichever connection they came by.
// Requests of different hunters do not wait for each other.
#pragma once
#include <optional>
#include <utility>

#include "base/pool.h"
#include "base/scheduler.h"
#include "base/task.h"

namespace huntd {

class Lanes {
 public:
  explicit Lanes(Scheduler& scheduler) : scheduler_(scheduler) {}

  // One request's turn; giving it back (destruction) lets the hunter's next request run.
  class Turn {
   public:
    Turn(Lanes& lanes, Text hunter_id) : lanes_(&lanes), hunter_id_(std::move(hunter_id)) {}
    Turn(Turn&& other) noexcept
        : lanes_(std::exchange(other.lanes_, nullptr)), hunter_id_(std::move(other.hunter_id_)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (lanes_ != nullptr) lanes_->leave(hunter_id_);
    }

   private:
    Lanes* lanes_;
    Text hunter_id_;
  };

  // Waits for the hunter's earlier requests; nothing where the deadline came first.
  Task<std::optional<Turn>> enter(Text hunter_id, uint64_t deadline_at_ns) {
    auto [lane, first] = waiting_.try_emplace(hunter_id);
    if (!first) {
      Slot<Signal> slot(scheduler_);
      lane->second.push_back(&slot);
      std::optional<Signal> came = co_await slot.wait(deadline_at_ns);
      if (!came) {
        std::erase(waiting_.find(hunter_id)->second, &slot);
        co_return std::nullopt;
      }
    }
    // Moved once; clang-tidy 14 counts a coroutine's parameter and its copy in the frame as one.
    // NOLINTNEXTLINE(clang-analyzer-cplusplus.Move)
    co_return Turn(*this, std::move(hunter_id));
  }

  size_t hunters() const { return waiting_.size(); }

 private:
  void leave(const Text& hunter_id) {
    auto lane = waiting_.find(hunter_id);
    CHECK(lane != waiting_.end());
    if (lane->second.empty()) {
      waiting_.erase(lane);
      return;
    }
    Slot<Signal>* next = lane->second.front();
    lane->second.pop_front();
    next->set({});
  }

  Scheduler& scheduler_;
  // A hunter is in the map while a request of theirs runs; the queue holds those that wait, oldest
  // first.
  Table<Text, Queue<Slot<Signal>*>> waiting_;
};

}  // namespace huntd
