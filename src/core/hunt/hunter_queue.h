// SPDX-License-Identifier: Apache-2.0
// A lock per hunter: requests of one hunter run one at a time in order of arrival, on whichever
// connections they came. Requests of different hunters do not wait for each other.
#pragma once
#include <optional>
#include <utility>

#include "base/pool.h"
#include "base/scheduler.h"
#include "base/task.h"

namespace huntd::server {

class HunterQueue {
 public:
  explicit HunterQueue(Scheduler& scheduler) : scheduler_(scheduler) {}

  // Holds one hunter's lock; its destruction passes the lock to the hunter's next request.
  class Guard {
   public:
    Guard(HunterQueue& queue, PoolString hunter_id)
        : queue_(&queue), hunter_id_(std::move(hunter_id)) {}
    Guard(Guard&& other) noexcept
        : queue_(std::exchange(other.queue_, nullptr)), hunter_id_(std::move(other.hunter_id_)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() {
      if (queue_ != nullptr) queue_->unlock(hunter_id_);
    }

   private:
    HunterQueue* queue_;
    PoolString hunter_id_;
  };

  // Waits for the hunter's earlier requests. Returns nothing if the deadline came first.
  Task<std::optional<Guard>> lock(PoolString hunter_id, uint64_t deadline_at_ns) {
    auto [entry, first] = waiting_.try_emplace(hunter_id);
    if (!first) {
      OneShot<Signal> locked(scheduler_);
      entry->second.push_back(&locked);
      std::optional<Signal> const came = co_await locked.wait(deadline_at_ns);
      if (!came) {
        std::erase(waiting_.find(hunter_id)->second, &locked);
        co_return std::nullopt;
      }
    }
    // Moved once; clang-tidy 14 counts a coroutine's parameter and its copy in the frame as one.
    // NOLINTNEXTLINE(clang-analyzer-cplusplus.Move)
    co_return Guard(*this, std::move(hunter_id));
  }

  // How many requests of the hunter wait for the lock. The caller keeps this bounded: a request
  // that would wait behind too many is rejected before it waits.
  size_t waiting(const PoolString& hunter_id) const {
    auto const entry = waiting_.find(hunter_id);
    return entry == waiting_.end() ? 0 : entry->second.size();
  }

  // The number of hunters whose lock is held.
  size_t hunters() const { return waiting_.size(); }

 private:
  void unlock(const PoolString& hunter_id) {
    auto const entry = waiting_.find(hunter_id);
    CHECK(entry != waiting_.end());
    if (entry->second.empty()) {
      waiting_.erase(entry);
      return;
    }
    OneShot<Signal>* const next = entry->second.front();
    entry->second.pop_front();
    next->set({});
  }

  Scheduler& scheduler_;
  // The hunters whose lock is held, each with the requests that wait for it, oldest first.
  PoolMap<PoolString, PoolDeque<OneShot<Signal>*>> waiting_;
};

}  // namespace huntd::server
