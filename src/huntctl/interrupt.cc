// SPDX-License-Identifier: Apache-2.0
#include "huntctl/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "huntctl/output.h"

namespace huntd::huntctl {
namespace {

volatile sig_atomic_t interrupted = 0;
volatile sig_atomic_t resized = 0;
std::array<int, 2> wake_pipe = {-1, -1};  // a byte in it wakes the command's thread
struct sigaction previous_interrupt;
struct sigaction previous_resize;

void on_signal(int number) {
  int const saved_errno = errno;
  if (number == SIGWINCH) {
    resized = 1;
  } else if (interrupted == 0) {
    interrupted = 1;
  } else {
    run_end_hook();
    signal(number, SIG_DFL);
    raise(number);  // arrives when this function returns
  }
  (void)!write(wake_pipe[1], "", 1);  // if the pipe is full, the thread wakes anyway
  errno = saved_errno;
}

}  // namespace

Interrupt::Interrupt() {
  CHECK(pipe2(wake_pipe.data(), O_CLOEXEC | O_NONBLOCK) == 0);
  interrupted = 0;
  resized = 0;
  struct sigaction action = {};
  action.sa_handler = &on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &previous_interrupt);
  sigaction(SIGWINCH, &action, &previous_resize);
}

Interrupt::~Interrupt() {
  sigaction(SIGINT, &previous_interrupt, nullptr);
  sigaction(SIGWINCH, &previous_resize, nullptr);
  for (int& end : wake_pipe) close(std::exchange(end, -1));
}

bool Interrupt::requested() const { return interrupted != 0; }

Interrupt::Wake Interrupt::wait(int64_t ms, int input) {
  int64_t const until_ms = monotonic_ms() + ms;
  for (;;) {
    if (interrupted != 0) return Wake::interrupted;
    if (resized != 0) {
      resized = 0;
      return Wake::resized;
    }
    int64_t const left_ms = std::max<int64_t>(0, until_ms - monotonic_ms());
    // poll() ignores a descriptor of -1.
    std::array<pollfd, 2> watched = {{{wake_pipe[0], POLLIN, 0}, {input, POLLIN, 0}}};
    int const ready = poll(watched.data(), watched.size(),
                           static_cast<int>(std::min<int64_t>(left_ms, 3'600'000)));
    std::array<char, 16> bytes;
    while (read(wake_pipe[0], bytes.data(), bytes.size()) > 0) {
    }
    if (interrupted != 0 || resized != 0) continue;
    if (ready > 0 && watched[1].revents != 0) return Wake::input;
    if (monotonic_ms() >= until_ms) return Wake::time;
  }
}

bool Interrupt::pause(int64_t ms) {
  int64_t const until_ms = monotonic_ms() + ms;
  for (;;) {
    Wake const wake = wait(until_ms - monotonic_ms());
    if (wake != Wake::resized) return wake == Wake::interrupted;
  }
}

}  // namespace huntd::huntctl
