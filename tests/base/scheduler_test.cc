// SPDX-License-Identifier: Apache-2.0
#include "base/scheduler.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/task.h"

using namespace huntd;

namespace {

// A deadline that notes when it fired.
struct Noted final : Deadline {
  Noted(std::vector<int>& into, int which) : log(into), name(which) {}
  void on_deadline() override { log.push_back(name); }
  std::vector<int>& log;
  int name;
};

Task<int> number(int value) { co_return value; }

Task<int> sum_of(int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await number(i);
  co_return sum;
}

Task<> keep_sum(int count, int& into) { into = co_await sum_of(count); }

Task<> wait_for(OneShot<std::string>& slot, uint64_t deadline_at_ns,
                std::vector<std::string>& log) {
  std::optional<std::string> came = co_await slot.wait(deadline_at_ns);
  log.push_back(came ? *came : "nothing");
}

struct Counted {
  explicit Counted(int& live) : live_(live) { ++live_; }
  ~Counted() { --live_; }
  Counted(const Counted&) = delete;
  int& live_;
};

Task<> hold(OneShot<Signal>& slot, int& live) {
  Counted const here(live);
  co_await slot.wait();
}

}  // namespace

TEST_CASE("due deadlines fire in the order of their time; others do not") {
  Scheduler scheduler;
  std::vector<int> log;
  Noted a(log, 1), b(log, 2), c(log, 3);
  scheduler.arm(b, 20);
  scheduler.arm(c, 30);
  scheduler.arm(a, 10);
  CHECK(scheduler.next_deadline_at_ns() == 10);
  scheduler.expire(20);
  CHECK(log == std::vector<int>{1, 2});
  CHECK(scheduler.next_deadline_at_ns() == 30);
  scheduler.disarm(c);
  scheduler.expire(100);
  CHECK(log.size() == 2);
  CHECK(scheduler.next_deadline_at_ns() == never_ns);
}

TEST_CASE("arming an armed deadline moves it") {
  Scheduler scheduler;
  std::vector<int> log;
  Noted a(log, 1), b(log, 2);
  scheduler.arm(a, 10);
  scheduler.arm(b, 20);
  scheduler.arm(a, 30);
  scheduler.expire(25);
  CHECK(log == std::vector<int>{2});
  scheduler.arm(a, 26);
  scheduler.expire(26);
  CHECK(log == std::vector<int>{2, 1});
}

TEST_CASE("random arming, moving and disarming matches a sorted list") {
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    std::mt19937 random(seed);
    Scheduler scheduler;
    std::vector<int> log;
    std::vector<std::unique_ptr<Noted>> all;
    std::vector<uint64_t> at(200, never_ns);
    for (int i = 0; i < 200; ++i) all.push_back(std::make_unique<Noted>(log, i));
    uint64_t now_ns = 0;
    for (int step = 0; step < 10'000; ++step) {
      size_t const which = random() % all.size();
      if (random() % 4 == 0) {
        scheduler.disarm(*all[which]);
        at[which] = never_ns;
      } else {
        at[which] = now_ns + 1 + random() % 1000;
        scheduler.arm(*all[which], at[which]);
      }
      if (random() % 16 != 0) continue;
      now_ns += random() % 300;
      std::vector<int> due;
      for (int i = 0; i < 200; ++i)
        if (at[static_cast<size_t>(i)] <= now_ns) due.push_back(i);
      log.clear();
      scheduler.expire(now_ns);
      for (size_t i = 1; i < log.size(); ++i)
        REQUIRE(at[static_cast<size_t>(log[i - 1])] <= at[static_cast<size_t>(log[i])]);
      std::vector<int> fired = log;
      std::sort(fired.begin(), fired.end());
      REQUIRE(fired == due);
      for (int i : due) at[static_cast<size_t>(i)] = never_ns;
    }
    for (auto& one : all) scheduler.disarm(*one);
  }
}

TEST_CASE("a OneShot resumes its waiter in the resume step, not inside set()") {
  Scheduler scheduler;
  OneShot<std::string> slot(scheduler);
  std::vector<std::string> log;
  start(wait_for(slot, never_ns, log));
  slot.set("first");
  slot.set("second");
  CHECK(log.empty());
  scheduler.run_ready();
  CHECK(log == std::vector<std::string>{"first"});
}

TEST_CASE("a OneShot that is already set does not suspend the waiter") {
  Scheduler scheduler;
  OneShot<std::string> slot(scheduler);
  std::vector<std::string> log;
  slot.set("early");
  start(wait_for(slot, never_ns, log));
  CHECK(log == std::vector<std::string>{"early"});
}

TEST_CASE("a OneShot returns nothing after its deadline, but a value of the same tick") {
  Scheduler scheduler;
  std::vector<std::string> log;
  OneShot<std::string> late(scheduler);
  start(wait_for(late, 100, log));
  scheduler.expire(99);
  scheduler.run_ready();
  CHECK(log.empty());
  scheduler.expire(100);
  scheduler.run_ready();
  CHECK(log == std::vector<std::string>{"nothing"});

  OneShot<std::string> just(scheduler);
  start(wait_for(just, 200, log));
  scheduler.expire(200);
  just.set("just in time");
  scheduler.run_ready();
  CHECK(log.back() == "just in time");
}

TEST_CASE("a task does not run before it is awaited or started") {
  int sum = -1;
  { Task<> const task = keep_sum(3, sum); }
  CHECK(sum == -1);
  start(keep_sum(3, sum));
  CHECK(sum == 3);
}

TEST_CASE("100,000 awaits that are ready do not deepen the stack") {
  // GCC makes the transfer a tail call only if it optimizes and no sanitizer needs the frames;
  // other builds run a tenth of the awaits.
#if defined(__OPTIMIZE__) && !defined(HUNTD_ADDRESS_SANITIZER)
  constexpr int count = 100'000;
#else
  constexpr int count = 10'000;
#endif
  int sum = 0;
  start(keep_sum(count, sum));
  CHECK(sum == static_cast<int>(static_cast<int64_t>(count) * (count - 1) / 2));
}

TEST_CASE("what a started task owns is destroyed when the task ends") {
  Scheduler scheduler;
  OneShot<Signal> slot(scheduler);
  int live = 0;
  start(hold(slot, live));
  CHECK(live == 1);
  slot.set({});
  CHECK(live == 1);
  scheduler.run_ready();
  CHECK(live == 0);
}

TEST_CASE("the time in which a core ran counts a part of each gap between two ticks at most") {
  Scheduler scheduler;
  scheduler.set_now(1);
  uint64_t const begin_ns = scheduler.ran_ns();
  scheduler.set_now(1 + limits::tick_counted_max_ns);
  CHECK(scheduler.ran_ns() - begin_ns == limits::tick_counted_max_ns);
  scheduler.expire(10 * limits::tick_counted_max_ns);
  CHECK(scheduler.ran_ns() - begin_ns == 2 * limits::tick_counted_max_ns);
  scheduler.expire(10 * limits::tick_counted_max_ns);  // the same tick
  CHECK(scheduler.ran_ns() - begin_ns == 2 * limits::tick_counted_max_ns);
}
