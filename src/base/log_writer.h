// SPDX-License-Identifier: Apache-2.0
// A thread that writes lines of the log, so that the thread that has them to say makes no system
// call for each. For lines of which there is one per request: the access log. It waits for a reader
// that is slow; lines that are queued when the process is killed are lost.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/log_sink.h"

namespace huntd::log {

// Thread-safe, but for start() and stop().
class Writer {
 public:
  // `sink` must outlive the writer. REQUIRES: not Way::wait.
  explicit Writer(Sink& sink) : sink_(sink) {}
  ~Writer() { stop(); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Starts the thread, which has the priority and the CPUs of the caller. Returns false if the
  // system does not permit it. REQUIRES: it does not run.
  bool start();
  // Writes what is queued, and ends the thread if it runs.
  void stop();
  bool running() const { return thread_.joinable(); }

  // Queues what Sink::write_entry() takes. Above limits::log_queued_bytes_max it is dropped, and the
  // sink counts it. REQUIRES: running().
  void push(std::string entry);

  // Around a fork(2): the child has no such thread, and starts without what is queued.
  void before_fork() { mutex_.lock(); }
  void after_fork_in_parent() { mutex_.unlock(); }
  void after_fork_in_child();

 private:
  void run();
  void await_entries(std::unique_lock<std::mutex>& lock);
  void write_all(std::vector<std::string> entries);

  Sink& sink_;
  std::thread thread_;
  std::mutex mutex_;  // of the members below it
  std::condition_variable changed_;
  std::vector<std::string> queued_;
  size_t queued_bytes_ = 0;
  std::atomic<bool> stopping_{false};  // read without the lock too
};

}  // namespace huntd::log
