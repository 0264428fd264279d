// SPDX-License-Identifier: Apache-2.0
#include "base/priority.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "base/limits.h"

using namespace huntd;

namespace {

// sched_attr of the kernel, in 32-bit words: the size, the policy, the flags (2), nice, the
// real-time priority, and the runtime in ns (2).
struct Attributes {
  uint32_t words[12] = {};
  int32_t nice() const { return static_cast<int32_t>(words[4]); }
  uint64_t runtime_ns() const { return words[6] | uint64_t{words[7]} << 32; }
};

Attributes attributes_of_this_thread() {
  Attributes found;
  REQUIRE(syscall(SYS_sched_getattr, 0, &found, sizeof found, 0) == 0);
  return found;
}

}  // namespace

TEST_CASE("a time slice is set, and the nice value stays") {
  REQUIRE(setpriority(PRIO_PROCESS, 0, 3) == 0);
  uint64_t const before_ns = attributes_of_this_thread().runtime_ns();
  REQUIRE(set_time_slice(limits::core_time_slice_ns));
  Attributes const after = attributes_of_this_thread();
  CHECK(after.nice() == 3);
  if (before_ns == 0)
    MESSAGE("skipped: this kernel has no time slices of threads (6.12 has)");
  else
    CHECK(after.runtime_ns() == limits::core_time_slice_ns);
}

TEST_CASE("a time slice below the bound of the kernel is that bound") {
  if (attributes_of_this_thread().runtime_ns() == 0) return;
  REQUIRE(set_time_slice(1));
  CHECK(attributes_of_this_thread().runtime_ns() == limits::core_time_slice_ns);
}
