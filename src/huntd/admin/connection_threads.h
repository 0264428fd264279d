// SPDX-License-Identifier: Apache-2.0
// Threads for the connections of the admin port. One thread handles one connection until it closes.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <httplib.h>

namespace huntd::server {

// Starts a thread only if none is free, so that an admin port with few clients has few threads and
// idle clients do not block others. More than `threads_max` connections wait in a queue until an
// idle client is closed.
class ConnectionThreads final : public httplib::TaskQueue {
 public:
  explicit ConnectionThreads(size_t threads_max) : threads_max_(threads_max) {}
  ~ConnectionThreads() override { shutdown(); }

  // void in httplib 0.11 (Debian 12), bool (accepted) since 0.15 (Debian 13).
  using Taken = decltype(std::declval<httplib::TaskQueue&>().enqueue({}));
  Taken enqueue(std::function<void()> serve) override;
  // Waits until every connection has ended.
  void shutdown() override;

 private:
  void run();

  const size_t threads_max_;
  std::mutex mutex_;
  std::condition_variable work_came_;
  std::deque<std::function<void()>> waiting_;
  std::vector<std::thread> threads_;
  size_t free_ = 0;
  bool ends_ = false;
};

}  // namespace huntd::server
