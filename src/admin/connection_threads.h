// Threads for the admin port's connections: one serves one connection until it closes.
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

namespace huntd {

// Starts a thread only where none is free, so that a quiet admin port has few and many idle clients
// still leave one for the next; past `threads_max` connections wait in line for an idle client to
// be cut.
class ConnectionThreads final : public httplib::TaskQueue {
 public:
  explicit ConnectionThreads(size_t threads_max) : threads_max_(threads_max) {}
  ~ConnectionThreads() override { shutdown(); }

  // void in httplib 0.11 (Debian 12), bool for "taken" since 0.15 (Debian 13).
  using Taken = decltype(std::declval<httplib::TaskQueue&>().enqueue({}));
  Taken enqueue(std::function<void()> serve) override;
  // Lets every connection finish.
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

}  // namespace huntd
