// SPDX-License-Identifier: Apache-2.0
// Calls that may block (SideCall), whose end the ring reports.
#pragma once
#include <poll.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/side_call.h"
#include "linux/ring.h"

namespace huntd::server {

// Names, or files, of one core whose calls may hang at the same time, a thread each.
inline constexpr size_t side_calls_max = 64;

// At most one call at a time.
template <class Value>
class RingCall final : private Op {
 public:
  using Work = std::function<Result<Value>()>;
  using Then = std::function<void(Result<Value>)>;
  RingCall(Ring& ring, const char* thread_name) : ring_(ring), call_(thread_name) {}

  // Passes the result of `work` to `then`, perhaps before it returns. If the caller has given up on
  // a call that still runs or has ended since, passes on the result of that one. Fails, without a
  // call of `then`, if the kernel gives no thread or descriptor. REQUIRES: no caller waits.
  Result<void> start(Work work, Then then) {
    CHECK(!then_);
    if (Result<void> started = call_.start(std::move(work)); !started) return started;
    then_ = std::move(then);
    if (polling_) return {};
    // One that ended after its caller had given up.
    deliver();
    if (then_) poll();
    return {};
  }
  void give_up() { then_ = nullptr; }
  // Whether it may be destroyed.
  bool idle() const { return !polling_ && !then_; }

 private:
  void poll() {
    io_uring_prep_poll_add(ring_.prepare(*this), call_.descriptor(), POLLIN);
    polling_ = true;
  }
  void complete(int32_t result, uint32_t flags) override {
    polling_ = false;
    deliver();
    if (then_) poll();
  }
  // Passes the result on, if there is one and a caller waits for it.
  void deliver() {
    if (!then_) return;
    std::optional<Result<Value>> result = call_.take();
    if (result) std::exchange(then_, nullptr)(std::move(*result));
  }

  Ring& ring_;
  SideCall<Value> call_;
  Then then_;
  bool polling_ = false;  // the kernel watches the descriptor of the call
};

// Calls by a key: a call that hangs delays no call of another key.
template <class Value>
class RingCalls {
 public:
  RingCalls(Ring& ring, const char* thread_name) : ring_(ring), thread_name_(thread_name) {}

  // Null if side_calls_max calls of other keys hang.
  RingCall<Value>* of(const std::string& key) {
    if (auto const found = calls_.find(key); found != calls_.end()) return &found->second;
    if (calls_.size() >= side_calls_max)
      std::erase_if(calls_, [](const auto& entry) { return entry.second.idle(); });
    if (calls_.size() >= side_calls_max) return nullptr;
    return &calls_.try_emplace(key, ring_, thread_name_).first->second;
  }

 private:
  Ring& ring_;
  const char* const thread_name_;
  std::map<std::string, RingCall<Value>> calls_;
};

}  // namespace huntd::server
