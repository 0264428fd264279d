// SPDX-License-Identifier: Apache-2.0
// One call that may take as long as it likes (a resolver, a file system), on a thread of its own that
// exists during the call only. Who started it polls a descriptor and never waits.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/result.h"

namespace huntd {

// The thread of a SideCall. It shares nothing with this object but the memory of the call, which the
// last of the two frees: both the object and the process may end while a call hangs.
class SideThread {
 public:
  // `name` as in pthread_setname_np(3): at most 15 bytes. A literal.
  explicit SideThread(const char* name) : name_(name) {}
  SideThread(const SideThread&) = delete;
  SideThread& operator=(const SideThread&) = delete;

  // Runs `work` on a new thread. Fails if the kernel gives no thread or descriptor. REQUIRES: no call
  // runs, and ended() was true for the former one.
  Result<void> start(std::function<void()> work);
  // An eventfd that poll(2) reports as readable when the call has ended; the same for all calls.
  // REQUIRES: start() succeeded once.
  int descriptor() const;
  // Whether the call has ended; true once per call. Then what it wrote can be read.
  bool ended();

 private:
  struct Shared;
  const char* const name_;
  std::shared_ptr<Shared> shared_;
};

// At most one call at a time.
template <class Value>
class SideCall {
 public:
  explicit SideCall(const char* thread_name) : thread_(thread_name) {}

  // Starts `work`, unless a call runs or has a result that has not been taken: then take() gives the
  // result of that one.
  Result<void> start(std::function<Result<Value>()> work) {
    if (started_) return {};
    auto result = std::make_shared<std::optional<Result<Value>>>();
    Result<void> started = thread_.start([result, work = std::move(work)] { *result = work(); });
    started_ = static_cast<bool>(started);
    if (started_) result_ = std::move(result);
    return started;
  }
  bool started() const { return started_; }
  int descriptor() const { return thread_.descriptor(); }
  // Takes the result; nothing while there is none.
  std::optional<Result<Value>> take() {
    if (!started_ || !thread_.ended()) return std::nullopt;
    started_ = false;
    CHECK(result_->has_value());
    return std::move(*std::exchange(result_, nullptr));
  }

 private:
  SideThread thread_;
  bool started_ = false;  // and its result is not taken
  std::shared_ptr<std::optional<Result<Value>>> result_;
};

}  // namespace huntd
