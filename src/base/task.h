// SPDX-License-Identifier: Apache-2.0
// Task<T>: a lazy coroutine with one owner. Awaiting it starts it; its end resumes the awaiter
// (symmetric transfer). A frame must not be destroyed while the kernel or a callback may still
// write into it: to cancel a task, close the resource that it waits for, and let the task finish.
#pragma once
#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/pool.h"

namespace huntd {

template <class T>
class Task;

namespace task_detail {

// Frames of this thread, so that tests can find a task that never ends.
inline thread_local constinit size_t frames = 0;

// Memory of a frame.
struct Frame {
  static void* operator new(size_t size_bytes) {
    ++frames;
    return Pool::allocate(size_bytes);
  }
  static void operator delete(void* frame, size_t size_bytes) noexcept {
    --frames;
    Pool::release(frame, size_bytes);
  }
};

struct PromiseBase : Frame {
  std::coroutine_handle<> awaiter;

  std::suspend_always initial_suspend() noexcept { return {}; }
  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> done) noexcept {
      return done.promise().awaiter;
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }
  // Errors are values: an exception that leaves a task is a violated invariant.
  void unhandled_exception() noexcept { std::terminate(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object() noexcept;
  void return_value(T v) { value.emplace(std::move(v)); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() noexcept {}
};

}  // namespace task_detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = task_detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  Task(const Task&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      Handle handle;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) noexcept {
        handle.promise().awaiter = awaiter;
        return handle;
      }
      T await_resume() {
        if constexpr (!std::is_void_v<T>) {
          CHECK(handle.promise().value.has_value());
          return std::move(*handle.promise().value);
        }
      }
    };
    CHECK(handle_ != nullptr);
    return Awaiter{handle_};
  }

 private:
  Handle handle_;
};

namespace task_detail {
template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

// The root of a task that is not awaited. It frees itself when it ends.
struct Detached {
  struct promise_type : Frame {
    Detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};
inline Detached run_detached(Task<void> task) { co_await std::move(task); }
}  // namespace task_detail

// The number of this thread's coroutines that exist: started, or waiting to start, and not ended.
inline size_t coroutines_alive() { return task_detail::frames; }

// Runs `task` up to its first suspension; it then continues by itself until it ends.
inline void start(Task<void> task) { task_detail::run_detached(std::move(task)); }

}  // namespace huntd
