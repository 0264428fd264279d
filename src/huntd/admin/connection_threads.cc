// SPDX-License-Identifier: Apache-2.0
#include "huntd/admin/connection_threads.h"

#include <utility>

namespace huntd::server {

ConnectionThreads::Taken ConnectionThreads::enqueue(std::function<void()> serve) {
  std::lock_guard const lock(mutex_);
  waiting_.push_back(std::move(serve));
  if (waiting_.size() > free_ && threads_.size() < threads_max_)
    threads_.emplace_back([this] { run(); });
  work_came_.notify_one();
  return static_cast<Taken>(true);
}

void ConnectionThreads::shutdown() {
  {
    std::lock_guard const lock(mutex_);
    ends_ = true;
  }
  work_came_.notify_all();
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

void ConnectionThreads::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++free_;
    work_came_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
    --free_;
    if (waiting_.empty()) return;
    std::function<void()> const serve = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    serve();
    lock.lock();
  }
}

}  // namespace huntd::server
