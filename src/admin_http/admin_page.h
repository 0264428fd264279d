// SPDX-License-Identifier: Apache-2.0
// What an admin port serves: pages, and the paths that they have.
#pragma once
#include <functional>
#include <string>
#include <string_view>

namespace huntd {

struct AdminPage {
  int status = 200;
  std::string_view content_type;  // static text
  std::string body;
  std::string_view content_security_policy = {};  // static text; empty: no such header
};

struct AdminRoute {
  // at_once: within microseconds, by the thread that serves the port. Any other page is made by a
  // second thread, one after the other, so that health never waits for it.
  enum class Made { at_once, by_second_thread };

  std::string_view path;  // static text
  Made made = Made::at_once;
  std::function<AdminPage()> make;  // called by one thread only; throws nothing
};

}  // namespace huntd
