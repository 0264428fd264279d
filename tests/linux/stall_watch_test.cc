// SPDX-License-Identifier: Apache-2.0
#include "linux/stall_watch.h"

#include "base/clock.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>

using namespace huntd;
using namespace huntd::server;

namespace {

using Stall = StallWatch::Stall;

constexpr uint64_t long_ns = limits::tick_long_ns;
constexpr uint64_t some_time_ns = 100 * ns_per_s;

uint64_t read_clock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * ns_per_s + static_cast<uint64_t>(now.tv_nsec);
}
uint64_t now_ns() { return read_clock(CLOCK_MONOTONIC); }

// Captures stderr while it exists.
class CaughtLog {
 public:
  CaughtLog() : file_(memfd_create("log", MFD_CLOEXEC)), stderr_(dup(STDERR_FILENO)) {
    dup2(file_, STDERR_FILENO);
  }
  ~CaughtLog() {
    dup2(stderr_, STDERR_FILENO);
    close(stderr_);
    close(file_);
  }
  std::string text() const {
    std::string text(static_cast<size_t>(lseek(file_, 0, SEEK_END)), '\0');
    CHECK(pread(file_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    return text;
  }
  long lines() const {
    std::string const all = text();
    return std::count(all.begin(), all.end(), '\n');
  }

 private:
  int file_;
  int stderr_;
};

// The value of KEY=VALUE in a line.
double number(const std::string& line, const std::string& key) {
  size_t const at = line.find(" " + key + "=");
  return at == std::string::npos ? -1 : std::atof(line.c_str() + at + key.size() + 2);
}

}  // namespace

// Outside of the unnamed namespace, so that the stack shows its name. Measures CPU time: other
// threads may run meanwhile, and the timer counts only the time of this thread.
extern "C" __attribute__((noinline)) void spin_in_this_test(uint64_t cpu_ns) {
  uint64_t const until_ns = read_clock(CLOCK_THREAD_CPUTIME_ID) + cpu_ns;
  while (read_clock(CLOCK_THREAD_CPUTIME_ID) < until_ns)
    for (volatile int turns = 0; turns < 10'000;) turns = turns + 1;
}

TEST_CASE("a tick that runs too long is logged with its stack") {
  std::string text;
  // If other processes use more than half of the CPU meanwhile, it is the case of the next test.
  for (int tries = 0; tries < 20 && text.find("(spin_in_this_test)") == std::string::npos;
       ++tries) {
    CaughtLog log;
    StallWatch watch;
    watch.watch_this_thread();
    watch.begin(now_ns());
    spin_in_this_test(10 * long_ns);  // the kernel checks the timer every 1 to 10 ms
    CHECK(watch.end(now_ns()) != Stall::none);
    text = log.text();
  }
  INFO(text);
  CHECK(text.starts_with("<4>a tick took long"));
  CHECK(text.find("(spin_in_this_test)") != std::string::npos);
  CHECK(text.find("(main)") != std::string::npos);
  CHECK(number(text, "tick_ms") >= 50);
  CHECK(number(text, "cpu_ms") >= 50);
}

TEST_CASE("a tick up to the limit is not logged, a longer one is") {
  CaughtLog log;
  StallWatch watch;
  watch.begin(some_time_ns);
  CHECK(watch.end(some_time_ns + long_ns) == Stall::none);
  CHECK(log.lines() == 0);
  watch.begin(some_time_ns);
  CHECK(watch.end(some_time_ns + long_ns + 1) != Stall::none);
  CHECK(log.lines() == 1);
}

TEST_CASE("a tick that did not run is logged with its CPU time and without a stack") {
  std::string text;
  Stall stall = Stall::none;
  // If other processes have the CPU for longer than this thread sleeps, it is the case of the next
  // test.
  for (int tries = 0; tries < 20 && stall != Stall::stalled; ++tries) {
    CaughtLog log;
    StallWatch watch;
    watch.watch_this_thread();
    watch.begin(some_time_ns);
    watch.end(some_time_ns);
    spin_in_this_test(20 * long_ns);  // work before this tick does not count
    watch.begin(now_ns());
    timespec const pause{0, 40 * static_cast<long>(long_ns)};
    nanosleep(&pause, nullptr);
    spin_in_this_test(5 * long_ns);  // long enough for a stack, which does not show the pause
    stall = watch.end(now_ns());
    text = log.text();
  }
  INFO(text);
  CHECK(stall == Stall::stalled);
  CHECK(number(text, "tick_ms") >= 225);
  CHECK(number(text, "cpu_ms") >= 25);
  CHECK(number(text, "cpu_ms") < 100);
  CHECK(text.find(" stack=none") != std::string::npos);
}

TEST_CASE("a tick that waits for a CPU is logged as waited") {
  // A child that never sleeps runs on the same CPU with a much higher priority.
  cpu_set_t usual;
  cpu_set_t one;
  sched_getaffinity(0, sizeof usual, &usual);
  CPU_ZERO(&one);
  CPU_SET(static_cast<size_t>(sched_getcpu()), &one);
  sched_setaffinity(0, sizeof one, &one);
  pid_t const hog = fork();
  if (hog == 0)
    for (volatile unsigned turns = 0;;) turns = turns + 1;
  std::string text;
  Stall stall = Stall::none;
  std::thread([&text, &stall] {  // only root could raise the priority again
    setpriority(PRIO_PROCESS, 0, 19);
    CaughtLog log;
    StallWatch watch;
    watch.watch_this_thread();
    watch.begin(now_ns());
    spin_in_this_test(4 * long_ns);
    stall = watch.end(now_ns());
    text = log.text();
  })
      .join();
  kill(hog, SIGKILL);
  waitpid(hog, nullptr, 0);
  sched_setaffinity(0, sizeof usual, &usual);
  INFO(text);
  CHECK(stall == Stall::waited);
  CHECK(text.find(" reason=waited ") != std::string::npos);
  CHECK(number(text, "waited_ms") > number(text, "cpu_ms"));
}

TEST_CASE("a stack belongs to its own tick, not to an earlier one") {
  CaughtLog log;
  StallWatch watch;
  watch.watch_this_thread();
  watch.begin(now_ns());
  spin_in_this_test(10 * long_ns);
  watch.end(now_ns());
  uint64_t const later_ns = now_ns() + 2 * ns_per_s;  // too late for a stack
  watch.begin(later_ns);
  spin_in_this_test(2 * long_ns);
  CHECK(watch.end(later_ns + 2 * long_ns) != Stall::none);
  CHECK(log.lines() == 2);
  CHECK(log.text().find(" stack=none") != std::string::npos);
}

TEST_CASE("no stack is taken between ticks") {
  CaughtLog log;
  StallWatch watch;
  watch.watch_this_thread();
  watch.begin(now_ns());
  CHECK((watch.end(now_ns()) != Stall::none || log.lines() == 0));
  spin_in_this_test(10 * long_ns);
  CHECK(log.text().find("spin_in_this_test") == std::string::npos);
}

TEST_CASE("one line per second is logged, with the number of suppressed ones") {
  CaughtLog log;
  StallWatch watch;
  auto const long_tick = [&watch](uint64_t at_ns) {
    watch.begin(at_ns);
    CHECK(watch.end(at_ns + 2 * long_ns));
  };
  for (uint64_t tick = 0; tick < 4; ++tick) long_tick(some_time_ns + tick * 3 * long_ns);
  CHECK(log.lines() == 1);
  CHECK(number(log.text(), "suppressed") == 0);
  long_tick(some_time_ns + ns_per_s);
  CHECK(log.lines() == 2);
  CHECK(log.text().find(" suppressed=3\n") != std::string::npos);
  long_tick(some_time_ns + 2 * ns_per_s);
  CHECK(log.lines() == 3);
  CHECK(log.text().ends_with(" suppressed=0\n"));
}

TEST_CASE("the signal does not change errno of the code that it interrupts") {
  CaughtLog log;
  StallWatch watch;
  watch.watch_this_thread();
  watch.begin(now_ns());
  errno = ENOTTY;
  spin_in_this_test(10 * long_ns);
  CHECK(errno == ENOTTY);
  watch.end(now_ns());
}
