// SPDX-License-Identifier: Apache-2.0
#include "linux/stall_watch.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <link.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>

#include "base/clock.h"
#include "base/log.h"

#ifndef sigev_notify_thread_id  // an older glibc has the field, not its name
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace huntd::server {
namespace {

constexpr uint64_t never_ns = std::numeric_limits<uint64_t>::max();
constexpr uint64_t report_every_ns = ns_per_s;
constexpr int frames_max = 24;
constexpr int handler_frames = 2;  // the handler, and the kernel's return from it
// The CPU time and the waiting time cost system calls (0.17 µs and about 1 µs; CLOCK_MONOTONIC
// 0.02), too much for every tick. They are read at this interval, so a tick's times are too long by
// less than this.
constexpr uint64_t mark_every_ns = 1'000'000;

// Shared by the handler and the thread that it interrupts.
struct Sample {
  std::atomic<uint64_t> long_at_ns{never_ns};  // from then on the tick is long; never_ns: no tick
  std::atomic<int> frames{0};
  void* stack[handler_frames + frames_max];
};
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<int>::is_always_lock_free);
Sample sample;

uint64_t read_clock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * ns_per_s + static_cast<uint64_t>(now.tv_nsec);
}

void take_stack(int /*signal*/) {
  int const interrupted_errno = errno;
  if (read_clock(CLOCK_MONOTONIC) > sample.long_at_ns.load(std::memory_order_relaxed)) {
    sample.long_at_ns.store(never_ns, std::memory_order_relaxed);
    sample.frames.store(backtrace(sample.stack, std::size(sample.stack)),
                        std::memory_order_relaxed);
  }
  errno = interrupted_errno;
}

// MODULE+OFFSET as addr2line takes it, with the symbol if the module exports it.
std::string name_of(uintptr_t address) {
  Dl_info info{};
  link_map* module = nullptr;
  if (dladdr1(reinterpret_cast<void*>(address), &info, reinterpret_cast<void**>(&module),
              RTLD_DL_LINKMAP) == 0 ||
      module == nullptr || info.dli_fname == nullptr)
    return fmt::format("{:#x}", address);
  std::string_view const path = info.dli_fname;
  return fmt::format("{}+{:#x}{}", path.substr(path.rfind('/') + 1), address - module->l_addr,
                     info.dli_sname == nullptr ? "" : fmt::format("({})", info.dli_sname));
}

std::string name_stack() {
  std::string names;
  int const frames = sample.frames.load(std::memory_order_relaxed);
  for (int i = handler_frames; i < frames; ++i) {
    // Except in the interrupted function, an address is the return address behind a call.
    uintptr_t const behind = i == handler_frames ? 0 : 1;
    if (!names.empty()) names.push_back(' ');
    names += name_of(reinterpret_cast<uintptr_t>(sample.stack[i]) - behind);
  }
  return names;
}

}  // namespace

StallWatch::~StallWatch() {
  if (has_timer_) timer_delete(timer_);
}

void StallWatch::watch_this_thread() {
  // The first call loads libgcc, which a signal handler must not.
  backtrace(sample.stack, static_cast<int>(std::size(sample.stack)));

  int const signal = SIGRTMIN;
  struct sigaction action {};
  action.sa_handler = take_stack;
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);

  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = signal;
  event.sigev_notify_thread_id = gettid();
  has_timer_ = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer_) == 0;
  itimerspec every{};
  every.it_interval.tv_nsec = static_cast<long>(long_ns_ / 2);
  every.it_value = every.it_interval;
  if (!has_timer_ || timer_settime(timer_, 0, &every, nullptr) != 0)
    log::warning("long ticks will have no stacks", {{"error", std::strerror(errno)}});
  schedstat_.reset(open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
  if (!schedstat_.valid())
    log::warning("long ticks that waited for a CPU will have reason=stalled",
                 {{"error", std::strerror(errno)}});
}

// How long this thread was ready to run and did not run, since its start: the second number in the
// file (Documentation/scheduler/sched-stats.rst of the kernel).
uint64_t StallWatch::read_waited_ns() const {
  char text[96];
  ssize_t const length =
      !schedstat_.valid() ? -1 : pread(schedstat_.get(), text, sizeof text - 1, 0);
  if (length <= 0) return 0;
  text[length] = '\0';
  const char* const space = std::strchr(text, ' ');
  return space == nullptr ? 0 : std::strtoull(space, nullptr, 10);
}

void StallWatch::begin(uint64_t now_ns) {
  started_at_ns_ = now_ns;
  if (now_ns - marked_at_ns_ >= mark_every_ns) {
    marked_at_ns_ = now_ns;
    marked_cpu_ns_ = read_clock(CLOCK_THREAD_CPUTIME_ID);
    marked_waited_ns_ = read_waited_ns();
  }
  sample.frames.store(0, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  sample.long_at_ns.store(now_ns + long_ns_, std::memory_order_relaxed);
}

StallWatch::Stall StallWatch::end(uint64_t now_ns) {
  sample.long_at_ns.store(never_ns, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (now_ns - started_at_ns_ <= long_ns_) return Stall::none;
  uint64_t const tick_ns = now_ns - started_at_ns_;
  uint64_t const cpu_ns = std::min(read_clock(CLOCK_THREAD_CPUTIME_ID) - marked_cpu_ns_, tick_ns);
  uint64_t const waited_ns = std::min(read_waited_ns() - marked_waited_ns_, tick_ns - cpu_ns);
  uint64_t const stalled_ns = tick_ns - cpu_ns - waited_ns;
  Stall const stall = cpu_ns >= std::max(waited_ns, stalled_ns) ? Stall::ran
                      : waited_ns >= stalled_ns                 ? Stall::waited
                                                                : Stall::stalled;
  if (now_ns < report_at_ns_) {
    ++suppressed_;
  } else {
    report(tick_ns, cpu_ns, waited_ns, stall);
    report_at_ns_ = now_ns + report_every_ns;
    suppressed_ = 0;
  }
  return stall;
}

void StallWatch::report(uint64_t tick_ns, uint64_t cpu_ns, uint64_t waited_ns, Stall stall) const {
  // If the thread ran for less than half of the tick, the stack is of what came after the stall.
  std::string const stack = cpu_ns < tick_ns / 2 ? "" : name_stack();
  auto const ms = [](uint64_t ns) {
    return fmt::format("{:.1f}", static_cast<double>(ns) / double{1e6});
  };
  const char* const reason = stall == Stall::ran      ? "ran"
                             : stall == Stall::waited ? "waited"
                                                      : "stalled";
  log::warning("a tick took long", {{"tick_ms", ms(tick_ns)},
                                    {"cpu_ms", ms(cpu_ns)},
                                    {"waited_ms", ms(waited_ns)},
                                    {"reason", reason},
                                    {"stack", stack.empty() ? "none" : stack},
                                    {"suppressed", suppressed_}});
}

}  // namespace huntd::server
