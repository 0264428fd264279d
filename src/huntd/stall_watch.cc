#include "huntd/stall_watch.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fmt/format.h>
#include <link.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string>

#include "base/log.h"

#ifndef sigev_notify_thread_id  // an older glibc has the field, not its name
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace huntd {
namespace {

constexpr uint64_t ns_per_s = 1'000'000'000;
constexpr double ns_per_ms = 1e6;
constexpr uint64_t never = std::numeric_limits<uint64_t>::max();
constexpr uint64_t report_every_ns = ns_per_s;
constexpr int frames_max = 24;
constexpr int handler_frames = 2;  // the handler, and the kernel's return from it
// Reading the CPU clock is a system call (0.17 µs where CLOCK_MONOTONIC is 0.02), too much for
// every tick. Read this often it makes a tick's CPU time too long by less than this.
constexpr uint64_t mark_every_ns = 1'000'000;

// What the handler and the thread that it interrupts share.
struct Sample {
  std::atomic<uint64_t> long_at_ns{never};  // the tick is long from then on; never: take nothing
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
    sample.long_at_ns.store(never, std::memory_order_relaxed);
    sample.frames.store(backtrace(sample.stack, std::size(sample.stack)),
                        std::memory_order_relaxed);
  }
  errno = interrupted_errno;
}

// MODULE+OFFSET as addr2line takes it, with the symbol where the module exports one.
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
    // All but the interrupted function are known by where they go on, behind the call.
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
  // The first call loads libgcc, which no handler may.
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
}

void StallWatch::begin(uint64_t now_ns) {
  began_ns_ = now_ns;
  if (now_ns - marked_at_ns_ >= mark_every_ns) {
    marked_at_ns_ = now_ns;
    marked_cpu_ns_ = read_clock(CLOCK_THREAD_CPUTIME_ID);
  }
  sample.frames.store(0, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  sample.long_at_ns.store(now_ns + long_ns_, std::memory_order_relaxed);
}

bool StallWatch::end(uint64_t now_ns) {
  sample.long_at_ns.store(never, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (now_ns - began_ns_ <= long_ns_) return false;
  if (now_ns < report_at_ns_) {
    ++left_out_;
  } else {
    report(now_ns);
    report_at_ns_ = now_ns + report_every_ns;
    left_out_ = 0;
  }
  return true;
}

void StallWatch::report(uint64_t now_ns) {
  uint64_t const tick_ns = now_ns - began_ns_;
  uint64_t const cpu_ns = std::min(read_clock(CLOCK_THREAD_CPUTIME_ID) - marked_cpu_ns_, tick_ns);
  // Where the thread ran for less than half of the tick, a stack would be of what came after.
  std::string const stack = cpu_ns < tick_ns / 2 ? "" : name_stack();
  log::warning("a tick took long",
               {{"tick_ms", fmt::format("{:.1f}", static_cast<double>(tick_ns) / ns_per_ms)},
                {"cpu_ms", fmt::format("{:.1f}", static_cast<double>(cpu_ns) / ns_per_ms)},
                {"stack", stack.empty() ? "none" : stack},
                {"left_out", left_out_}});
}

}  // namespace huntd
