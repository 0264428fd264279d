// SPDX-License-Identifier: Apache-2.0
// CHECK(condition) verifies an invariant of our own code, in every build. If it fails, the process
// aborts and its parent restarts it. Input from outside must never be able to fail a CHECK.
#pragma once
#include <cstdio>
#include <cstdlib>

namespace huntd {
[[noreturn]] inline void check_failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "<2>check failed at=%s:%d condition=\"%s\"\n", file, line, condition);
  std::abort();
}
}  // namespace huntd

#define CHECK(condition) \
  ((condition) ? (void)0 : ::huntd::check_failed(__FILE__, __LINE__, #condition))
