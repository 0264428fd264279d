// SPDX-License-Identifier: Apache-2.0
#include "base/side_call.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace huntd {

struct SideThread::Shared {
  const char* name;
  UniqueFd signal;  // an eventfd, 1 once the call has ended
  std::function<void()> work;
  std::atomic<bool> has_ended = false;
};

namespace {

using Run = void* (*)(void*);

// Starts a thread that receives no signal: those are the affair of the threads that exist. Returns
// an errno.
int start_thread(Run run, void* argument) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_attr_t attributes;
  if (int const error = pthread_attr_init(&attributes); error != 0) return error;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int const error = pthread_create(&thread, &attributes, run, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return error;
}

}  // namespace

Result<void> SideThread::start(std::function<void()> work) {
  if (!shared_) {
    shared_ = std::make_shared<Shared>();
    shared_->name = name_;
  }
  if (!shared_->signal.valid()) shared_->signal.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!shared_->signal.valid()) return Error{fmt::format("eventfd: {}", std::strerror(errno))};
  shared_->work = std::move(work);
  auto* const passed = new std::shared_ptr<Shared>(shared_);
  Run const run = [](void* argument) -> void* {
    std::unique_ptr<std::shared_ptr<Shared>> const held(
        static_cast<std::shared_ptr<Shared>*>(argument));
    Shared& shared = **held;
    pthread_setname_np(pthread_self(), shared.name);
    shared.work();
    shared.has_ended.store(true, std::memory_order_release);
    uint64_t const one = 1;
    CHECK(write(shared.signal.get(), &one, sizeof one) == sizeof one);
    return nullptr;
  };
  if (int const error = start_thread(run, passed); error != 0) {
    delete passed;
    return Error{fmt::format("no thread for it: {}", std::strerror(error))};
  }
  return {};
}

int SideThread::descriptor() const { return shared_->signal.get(); }

bool SideThread::ended() {
  uint64_t count = 0;
  if (!shared_ || read(shared_->signal.get(), &count, sizeof count) != sizeof count) return false;
  CHECK(shared_->has_ended.exchange(false, std::memory_order_acquire));
  return true;
}

}  // namespace huntd
