// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/hunter_queue.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace huntd;
using namespace huntd::server;

namespace {

Task<> request(HunterQueue& queue, PoolString hunter_id, uint64_t deadline_at_ns,
               OneShot<Signal>& work, std::string name, std::vector<std::string>& log) {
  std::optional<HunterQueue::Guard> const guard =
      co_await queue.lock(std::move(hunter_id), deadline_at_ns);
  if (!guard) {
    log.push_back(name + " late");
    co_return;
  }
  log.push_back(name + " starts");
  co_await work.wait();
  log.push_back(name + " ends");
}

}  // namespace

TEST_CASE("one hunter's requests run one at a time, in order of arrival") {
  Scheduler scheduler;
  HunterQueue queue(scheduler);
  OneShot<Signal> work[3] = {OneShot<Signal>(scheduler), OneShot<Signal>(scheduler),
                             OneShot<Signal>(scheduler)};
  std::vector<std::string> log;
  for (int i = 0; i < 3; ++i)
    start(request(queue, "ann", never_ns, work[i], std::to_string(i), log));
  CHECK(log == std::vector<std::string>{"0 starts"});
  for (OneShot<Signal>& slot : work) {
    slot.set({});
    scheduler.run_ready();
  }
  CHECK(log ==
        std::vector<std::string>{"0 starts", "0 ends", "1 starts", "1 ends", "2 starts", "2 ends"});
  CHECK(queue.hunters() == 0);
}

TEST_CASE("the queue knows how many requests of a hunter wait") {
  Scheduler scheduler;
  HunterQueue queue(scheduler);
  OneShot<Signal> work[3] = {OneShot<Signal>(scheduler), OneShot<Signal>(scheduler),
                             OneShot<Signal>(scheduler)};
  std::vector<std::string> log;
  CHECK(queue.waiting("ann") == 0);
  start(request(queue, "ann", never_ns, work[0], "0", log));
  CHECK(queue.waiting("ann") == 0);  // it runs
  start(request(queue, "ann", 100, work[1], "1", log));
  start(request(queue, "ann", never_ns, work[2], "2", log));
  CHECK(queue.waiting("ann") == 2);
  CHECK(queue.waiting("bob") == 0);
  scheduler.expire(100);
  scheduler.run_ready();
  CHECK(queue.waiting("ann") == 1);
  for (int i : {0, 2}) {
    work[i].set({});
    scheduler.run_ready();
    CHECK(queue.waiting("ann") == 0);
  }
  CHECK(queue.hunters() == 0);
}

TEST_CASE("different hunters do not wait for each other") {
  Scheduler scheduler;
  HunterQueue queue(scheduler);
  OneShot<Signal> a(scheduler), b(scheduler);
  std::vector<std::string> log;
  start(request(queue, "ann", never_ns, a, "ann", log));
  start(request(queue, "bob", never_ns, b, "bob", log));
  CHECK(log == std::vector<std::string>{"ann starts", "bob starts"});
  CHECK(queue.hunters() == 2);
  a.set({});
  b.set({});
  scheduler.run_ready();
  CHECK(queue.hunters() == 0);
}

TEST_CASE("a request whose deadline passes leaves the queue; the next one stays") {
  Scheduler scheduler;
  HunterQueue queue(scheduler);
  OneShot<Signal> work[3] = {OneShot<Signal>(scheduler), OneShot<Signal>(scheduler),
                             OneShot<Signal>(scheduler)};
  std::vector<std::string> log;
  start(request(queue, "ann", never_ns, work[0], "0", log));
  start(request(queue, "ann", 100, work[1], "1", log));
  start(request(queue, "ann", never_ns, work[2], "2", log));
  scheduler.expire(100);
  scheduler.run_ready();
  CHECK(log == std::vector<std::string>{"0 starts", "1 late"});
  work[0].set({});
  scheduler.run_ready();
  CHECK(log.back() == "2 starts");
  work[2].set({});
  scheduler.run_ready();
  CHECK(queue.hunters() == 0);
}

TEST_CASE("a lock that is passed on in the tick of the deadline is taken") {
  Scheduler scheduler;
  HunterQueue queue(scheduler);
  OneShot<Signal> a(scheduler), b(scheduler);
  std::vector<std::string> log;
  start(request(queue, "ann", never_ns, a, "0", log));
  start(request(queue, "ann", 100, b, "1", log));
  a.set({});
  scheduler.expire(100);
  scheduler.run_ready();
  CHECK(log == std::vector<std::string>{"0 starts", "0 ends", "1 starts"});
  b.set({});
  scheduler.run_ready();
  CHECK(queue.hunters() == 0);
}
