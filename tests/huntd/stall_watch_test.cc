#include "huntd/stall_watch.h"

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

namespace {

using Stall = StallWatch::Stall;

constexpr uint64_t ns_per_s = 1'000'000'000;
constexpr uint64_t long_ns = limits::tick_long_ns;
constexpr uint64_t some_time_ns = 100 * ns_per_s;

uint64_t read_clock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * ns_per_s + static_cast<uint64_t>(now.tv_nsec);
}
uint64_t now_ns() { return read_clock(CLOCK_MONOTONIC); }

// What is written to stderr while it lives.
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

// Not in the unnamed namespace: the stack must find its name. By CPU time: a busy machine may let
// others run meanwhile, and the timer counts only what this thread runs.
extern "C" __attribute__((noinline)) void spin_in_this_test(uint64_t cpu_ns) {
  uint64_t const until_ns = read_clock(CLOCK_THREAD_CPUTIME_ID) + cpu_ns;
  while (read_clock(CLOCK_THREAD_CPUTIME_ID) < until_ns)
    for (volatile int turns = 0; turns < 10'000;) turns = turns + 1;
}

TEST_CASE("a tick that computes for too long is told with the stack of what it did") {
  std::string text;
  // Where others get more than half of the machine meanwhile, it is the next test's case.
  for (int tries = 0; tries < 20 && text.find("(spin_in_this_test)") == std::string::npos;
       ++tries) {
    CaughtLog log;
    StallWatch watch;
    watch.watch_this_thread();
    watch.begin(now_ns());
    spin_in_this_test(10 * long_ns);  // the kernel looks at the timer every 1 to 10 ms
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

TEST_CASE("a tick up to the limit is not told, one past it is") {
  CaughtLog log;
  StallWatch watch;
  watch.begin(some_time_ns);
  CHECK(watch.end(some_time_ns + long_ns) == Stall::none);
  CHECK(log.lines() == 0);
  watch.begin(some_time_ns);
  CHECK(watch.end(some_time_ns + long_ns + 1) != Stall::none);
  CHECK(log.lines() == 1);
}

TEST_CASE("a tick that was not running is told with its CPU time and without a stack") {
  std::string text;
  Stall stall = Stall::none;
  // Where others keep this thread from its CPU for longer than it sleeps, it is the next test's
  // case.
  for (int tries = 0; tries < 20 && stall != Stall::away; ++tries) {
    CaughtLog log;
    StallWatch watch;
    watch.watch_this_thread();
    watch.begin(some_time_ns);
    watch.end(some_time_ns);
    spin_in_this_test(20 * long_ns);  // what was done before this tick is not of it
    watch.begin(now_ns());
    timespec const pause{0, 40 * static_cast<long>(long_ns)};
    nanosleep(&pause, nullptr);
    spin_in_this_test(5 * long_ns);  // long enough for a sample, which tells nothing of the pause
    stall = watch.end(now_ns());
    text = log.text();
  }
  INFO(text);
  CHECK(stall == Stall::away);
  CHECK(number(text, "tick_ms") >= 225);
  CHECK(number(text, "cpu_ms") >= 25);
  CHECK(number(text, "cpu_ms") < 100);
  CHECK(text.find(" stack=none") != std::string::npos);
}

TEST_CASE("a tick that waits behind others for its CPU says so") {
  // A child that never sleeps on the same CPU, and this thread far below it.
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
  std::thread([&text, &stall] {  // nobody but root gets a better priority back
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
  CHECK(text.find(" because=waited ") != std::string::npos);
  CHECK(number(text, "waited_ms") > number(text, "cpu_ms"));
}

TEST_CASE("a stack is of its own tick, not of an earlier one") {
  CaughtLog log;
  StallWatch watch;
  watch.watch_this_thread();
  watch.begin(now_ns());
  spin_in_this_test(10 * long_ns);
  watch.end(now_ns());
  uint64_t const later_ns = now_ns() + 2 * ns_per_s;  // too late for any sample
  watch.begin(later_ns);
  spin_in_this_test(2 * long_ns);
  CHECK(watch.end(later_ns + 2 * long_ns) != Stall::none);
  CHECK(log.lines() == 2);
  CHECK(log.text().find(" stack=none") != std::string::npos);
}

TEST_CASE("between ticks no stack is taken") {
  CaughtLog log;
  StallWatch watch;
  watch.watch_this_thread();
  watch.begin(now_ns());
  CHECK((watch.end(now_ns()) != Stall::none || log.lines() == 0));
  spin_in_this_test(10 * long_ns);
  CHECK(log.text().find("spin_in_this_test") == std::string::npos);
}

TEST_CASE("one line a second is written; it says how many long ticks were left out") {
  CaughtLog log;
  StallWatch watch;
  auto const long_tick = [&watch](uint64_t at_ns) {
    watch.begin(at_ns);
    CHECK(watch.end(at_ns + 2 * long_ns));
  };
  for (uint64_t tick = 0; tick < 4; ++tick) long_tick(some_time_ns + tick * 3 * long_ns);
  CHECK(log.lines() == 1);
  CHECK(number(log.text(), "left_out") == 0);
  long_tick(some_time_ns + ns_per_s);
  CHECK(log.lines() == 2);
  CHECK(log.text().find(" left_out=3\n") != std::string::npos);
  long_tick(some_time_ns + 2 * ns_per_s);
  CHECK(log.lines() == 3);
  CHECK(log.text().ends_with(" left_out=0\n"));
}

TEST_CASE("the signal does not disturb what it interrupts") {
  CaughtLog log;
  StallWatch watch;
  watch.watch_this_thread();
  watch.begin(now_ns());
  errno = ENOTTY;
  spin_in_this_test(10 * long_ns);
  CHECK(errno == ENOTTY);
  watch.end(now_ns());
}
