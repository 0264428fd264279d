// CHECK: an invariant of ours. A violated one ends the process (its parent restarts it); the
// outside world must never be able to reach one. Always on; DCHECK only where NDEBUG is not set.
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
#ifdef NDEBUG
#define DCHECK(condition) ((void)0)
#else
#define DCHECK(condition) CHECK(condition)
#endif
