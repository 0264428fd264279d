// SPDX-License-Identifier: Apache-2.0
#include "base/name_lookup.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/net.h"
#include "base/unique_fd.h"

namespace huntd {

struct NameLookup::Shared {
  std::string host;
  UniqueFd ended;  // an eventfd, 1 once `found` is set
  Result<std::vector<std::string>> found = Error{};
  std::atomic<bool> is_found = false;
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

NameLookup::NameLookup(std::string host) : shared_(std::make_shared<Shared>()) {
  shared_->host = std::move(host);
}

NameLookup::~NameLookup() = default;

Result<void> NameLookup::start() {
  if (started_) return {};
  if (!shared_->ended.valid()) shared_->ended.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!shared_->ended.valid()) return Error{fmt::format("eventfd: {}", std::strerror(errno))};
  auto* const passed = new std::shared_ptr<Shared>(shared_);
  Run const run = [](void* argument) -> void* {
    std::unique_ptr<std::shared_ptr<Shared>> const held(
        static_cast<std::shared_ptr<Shared>*>(argument));
    Shared& shared = **held;
    pthread_setname_np(pthread_self(), "huntd-resolver");
    shared.found = resolve(shared.host);
    shared.is_found.store(true, std::memory_order_release);
    uint64_t const one = 1;
    CHECK(write(shared.ended.get(), &one, sizeof one) == sizeof one);
    return nullptr;
  };
  if (int const error = start_thread(run, passed); error != 0) {
    delete passed;
    return Error{fmt::format("cannot resolve {}: no thread for it: {}", shared_->host,
                             std::strerror(error))};
  }
  started_ = true;
  return {};
}

int NameLookup::descriptor() const { return shared_->ended.get(); }

std::optional<Result<std::vector<std::string>>> NameLookup::take() {
  uint64_t count = 0;
  if (!started_ || read(shared_->ended.get(), &count, sizeof count) != sizeof count)
    return std::nullopt;
  CHECK(shared_->is_found.exchange(false, std::memory_order_acquire));
  started_ = false;
  return std::exchange(shared_->found, Error{});
}

}  // namespace huntd
