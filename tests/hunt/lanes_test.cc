#include "hunt/lanes.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace huntd;

namespace {

Task<> request(Lanes& lanes, Text hunter_id, uint64_t deadline_at_ns, Slot<Signal>& work,
               std::string name, std::vector<std::string>& log) {
  std::optional<Lanes::Turn> turn = co_await lanes.enter(std::move(hunter_id), deadline_at_ns);
  if (!turn) {
    log.push_back(name + " late");
    co_return;
  }
  log.push_back(name + " begins");
  co_await work.wait();
  log.push_back(name + " ends");
}

}  // namespace

TEST_CASE("one hunter's requests run one at a time, in order of arrival") {
  Scheduler scheduler;
  Lanes lanes(scheduler);
  Slot<Signal> work[3] = {Slot<Signal>(scheduler), Slot<Signal>(scheduler),
                          Slot<Signal>(scheduler)};
  std::vector<std::string> log;
  for (int i = 0; i < 3; ++i)
    start(request(lanes, "ann", never_ns, work[i], std::to_string(i), log));
  CHECK(log == std::vector<std::string>{"0 begins"});
  for (Slot<Signal>& slot : work) {
    slot.set({});
    scheduler.run_ready();
  }
  CHECK(log ==
        std::vector<std::string>{"0 begins", "0 ends", "1 begins", "1 ends", "2 begins", "2 ends"});
  CHECK(lanes.hunters() == 0);
}

TEST_CASE("different hunters do not wait for each other") {
  Scheduler scheduler;
  Lanes lanes(scheduler);
  Slot<Signal> a(scheduler), b(scheduler);
  std::vector<std::string> log;
  start(request(lanes, "ann", never_ns, a, "ann", log));
  start(request(lanes, "bob", never_ns, b, "bob", log));
  CHECK(log == std::vector<std::string>{"ann begins", "bob begins"});
  CHECK(lanes.hunters() == 2);
  a.set({});
  b.set({});
  scheduler.run_ready();
  CHECK(lanes.hunters() == 0);
}

TEST_CASE("a request that waits past its deadline goes, and the one behind it keeps its turn") {
  Scheduler scheduler;
  Lanes lanes(scheduler);
  Slot<Signal> work[3] = {Slot<Signal>(scheduler), Slot<Signal>(scheduler),
                          Slot<Signal>(scheduler)};
  std::vector<std::string> log;
  start(request(lanes, "ann", never_ns, work[0], "0", log));
  start(request(lanes, "ann", 100, work[1], "1", log));
  start(request(lanes, "ann", never_ns, work[2], "2", log));
  scheduler.expire(100);
  scheduler.run_ready();
  CHECK(log == std::vector<std::string>{"0 begins", "1 late"});
  work[0].set({});
  scheduler.run_ready();
  CHECK(log.back() == "2 begins");
  work[2].set({});
  scheduler.run_ready();
  CHECK(lanes.hunters() == 0);
}

TEST_CASE("a turn that comes in the same tick as the deadline is taken") {
  Scheduler scheduler;
  Lanes lanes(scheduler);
  Slot<Signal> a(scheduler), b(scheduler);
  std::vector<std::string> log;
  start(request(lanes, "ann", never_ns, a, "0", log));
  start(request(lanes, "ann", 100, b, "1", log));
  a.set({});
  scheduler.expire(100);
  scheduler.run_ready();
  CHECK(log == std::vector<std::string>{"0 begins", "0 ends", "1 begins"});
  b.set({});
  scheduler.run_ready();
  CHECK(lanes.hunters() == 0);
}
