// SPDX-License-Identifier: Apache-2.0
#include "linux/ring.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "linux/real_clock.h"

using namespace huntd;
using namespace huntd::server;

namespace {

constexpr uint64_t ms = 1'000'000;
constexpr uint64_t s = 1000 * ms;

struct Counted final : Op {
  void complete(int32_t, uint32_t) override { ++times; }
  int times = 0;
};

// A ring with operations that complete as they are submitted.
struct World {
  World() { REQUIRE(ring.open()); }

  void submit_and_wait(int operations, uint64_t timeout_ns, Gather gather) {
    for (int i = 0; i < operations; ++i) io_uring_prep_nop(ring.prepare(done));
    uint64_t const before_ns = clock.now_ns();
    ring.submit_and_wait(timeout_ns, gather);
    waited_ns = clock.now_ns() - before_ns;
    ring.reap();
  }

  // Kernels before 6.15 do not gather.
  static bool gathers() {
    Result<RingFeatures> const features = probe_ring();
    REQUIRE(features);
    const std::vector<std::string>& present = features->present;
    bool const found = std::find(present.begin(), present.end(), "no_iowait") != present.end();
    if (!found) MESSAGE("skipped: this kernel does not gather completions (6.15 does)");
    return found;
  }

  RealClock clock;
  Ring ring;
  Counted done;
  uint64_t waited_ns = 0;
};

}  // namespace

TEST_CASE("a wait returns with the first completion") {
  World world;
  world.submit_and_wait(1, 600 * s, {});
  CHECK(world.done.times == 1);
}

TEST_CASE("a gathering wait returns with what is there after its shortest time") {
  World world;
  if (!world.gathers()) return;
  world.submit_and_wait(1, 600 * s, {64, 20 * ms});
  CHECK(world.waited_ns >= 20 * ms);
  CHECK(world.done.times == 1);
}

TEST_CASE("a gathering wait returns at once if enough is there") {
  World world;
  if (!world.gathers()) return;
  world.submit_and_wait(64, 600 * s, {64, 500 * s});
  CHECK(world.done.times == 64);
}

TEST_CASE("all completions that the kernel has are delivered, or as many as wanted") {
  constexpr int count = 500;
  World world;
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
  char byte = 0;
  for (int i = 0; i < count; ++i)
    io_uring_prep_poll_add(world.ring.prepare(world.done), ends[0], POLLIN);
  world.ring.submit_and_wait(0);
  REQUIRE(send(ends[1], &byte, 1, 0) == 1);
  world.ring.collect();
  CHECK_FALSE(world.ring.reap(count - 100));
  CHECK(world.done.times == count - 100);
  CHECK(world.ring.reap());
  CHECK(world.done.times == count);
  for (int end : ends) close(end);
}

TEST_CASE("a gathering wait without completions ends at its timeout") {
  World world;
  if (!world.gathers()) return;
  world.submit_and_wait(0, 40 * ms, {64, 10 * ms});
  CHECK(world.waited_ns >= 40 * ms);
  world.submit_and_wait(0, 20 * ms, {64, 500 * s});
  CHECK(world.waited_ns >= 20 * ms);
  CHECK(world.done.times == 0);
}
