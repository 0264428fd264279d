// SPDX-License-Identifier: Apache-2.0
#include "base/log_writer.h"

#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/limits.h"

namespace huntd::log {

bool Writer::start() {
  stopping_ = false;
  // Signals are for the other threads.
  sigset_t all;
  sigset_t former;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &former);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error&) {  // no thread is left: running() says so
  }
  pthread_sigmask(SIG_SETMASK, &former, nullptr);
  return running();
}

void Writer::stop() {
  if (!running()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Writer::push(std::string entry) {
  {
    std::lock_guard lock(mutex_);
    if (queued_bytes_ + entry.size() > limits::log_queued_bytes_max) return sink_.count_dropped();
    queued_bytes_ += entry.size();
    queued_.push_back(std::move(entry));
    if (queued_.size() > 1) return;  // the thread knows already
  }
  changed_.notify_one();
}

void Writer::after_fork_in_child() {
  // The thread is the parent's. Its handle can be neither joined nor destroyed here.
  new std::thread(std::move(thread_));  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks)
  queued_.clear();
  queued_bytes_ = 0;
  mutex_.unlock();
}

// Meanwhile it writes what the sink keeps for a reader that was slow.
void Writer::await_entries(std::unique_lock<std::mutex>& lock) {
  auto const has_entries = [this] { return stopping_.load() || !queued_.empty(); };
  while (sink_.behind()) {
    if (changed_.wait_for(lock, std::chrono::nanoseconds(Sink::retry_every_ns), has_entries))
      return;
    lock.unlock();
    sink_.flush(monotonic_ns());
    lock.lock();
  }
  changed_.wait(lock, has_entries);
}

// Gathers lines for a moment, so that it is not woken for each.
void Writer::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    await_entries(lock);
    changed_.wait_for(lock, std::chrono::nanoseconds(limits::log_gather_ns),
                      [this] { return stopping_.load(); });
    std::vector<std::string> entries = std::exchange(queued_, {});
    queued_bytes_ = 0;
    bool const last = stopping_;
    lock.unlock();
    write_all(std::move(entries));
    if (last) return;
    lock.lock();
  }
}

void Writer::write_all(std::vector<std::string> entries) {
  for (std::string& entry : entries) {
    if (!stopping_) sink_.await_room(limits::log_room_wait_ms);
    sink_.write_entry(std::move(entry));
  }
}

}  // namespace huntd::log
