// SPDX-License-Identifier: Apache-2.0
// Makes the pages of an admin port that take long, on a thread of its own, one at a time.
#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "admin_http/admin_page.h"

namespace huntd {

class PageMaker {
 public:
  // `made` is called by the thread whenever take() has a page.
  explicit PageMaker(std::function<void()> made) : made_(std::move(made)) {}
  // Waits for the page that is being made.
  ~PageMaker();
  PageMaker(const PageMaker&) = delete;
  PageMaker& operator=(const PageMaker&) = delete;

  // Whether a page is being made, or was made and not taken.
  bool busy() const { return making_ != nullptr; }
  // The route that the page is of. REQUIRES: busy().
  const AdminRoute& making() const { return *making_; }
  // Makes the page of `route`, which must live until it is taken. REQUIRES: not busy().
  void start(const AdminRoute& route);
  // The page, once it is made.
  std::optional<AdminPage> take();

 private:
  void run();

  const std::function<void()> made_;
  const AdminRoute* making_ = nullptr;  // of the caller's thread
  std::mutex mutex_;
  std::condition_variable changed_;
  const AdminRoute* wanted_ = nullptr;
  std::optional<AdminPage> page_;
  bool ends_ = false;
  std::thread thread_;  // started with the first page
};

}  // namespace huntd
