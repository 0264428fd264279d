// SPDX-License-Identifier: Apache-2.0
#include "base/cpus.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <thread>

#include "base/limits.h"

using namespace huntd;

TEST_CASE("a thread may run on the CPU that it is pinned to, and on no other") {
  std::vector<int> const before = allowed_cpus();
  REQUIRE(!before.empty());
  std::vector<int> pinned;
  int error = -1;
  std::thread thread([&] {
    error = pin_to_cpu(before.back());
    pinned = allowed_cpus();
  });
  thread.join();
  CHECK(error == 0);
  CHECK(pinned == std::vector<int>{before.back()});
  CHECK(allowed_cpus() == before);  // of the other thread only
}

TEST_CASE("a CPU that does not exist cannot be pinned to") {
  CHECK(pin_to_cpu(-1) == EINVAL);
  CHECK(pin_to_cpu(static_cast<int>(limits::cpus_max)) == EINVAL);
  CHECK(pin_to_cpu(static_cast<int>(limits::cpus_max) - 1) == EINVAL);  // no machine of ours has it
  CHECK(pin_to_cpu(2000) != 0);  // beyond CPU_SETSIZE: an error of the kernel, not of memory
}
