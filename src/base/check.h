// SPDX-License-Identifier: Apache-2.0
// CHECK(condition) verifies an invariant of our own code, in every build. If it fails, the process
// aborts and its parent restarts it. Input from outside must never be able to fail a CHECK.
#pragma once

namespace huntd {
// Logs the condition and aborts. Does not wait for the log.
[[noreturn]] void check_failed(const char* file, int line, const char* condition);
}  // namespace huntd

#define CHECK(condition) \
  ((condition) ? (void)0 : ::huntd::check_failed(__FILE__, __LINE__, #condition))
