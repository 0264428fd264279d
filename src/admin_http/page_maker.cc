// SPDX-License-Identifier: Apache-2.0
#include "admin_http/page_maker.h"

#include <utility>

#include "base/check.h"

namespace huntd {

PageMaker::~PageMaker() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard const lock(mutex_);
    ends_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void PageMaker::start(const AdminRoute& route) {
  CHECK(!busy());
  making_ = &route;
  {
    std::lock_guard const lock(mutex_);
    wanted_ = &route;
  }
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_one();
}

std::optional<AdminPage> PageMaker::take() {
  std::lock_guard const lock(mutex_);
  if (page_) making_ = nullptr;
  return std::exchange(page_, std::nullopt);
}

void PageMaker::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ends_ || wanted_ != nullptr; });
    if (ends_) return;
    const AdminRoute& route = *std::exchange(wanted_, nullptr);
    lock.unlock();
    AdminPage page = route.make();
    lock.lock();
    page_ = std::move(page);
    made_();
  }
}

}  // namespace huntd
