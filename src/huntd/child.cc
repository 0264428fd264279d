// SPDX-License-Identifier: Apache-2.0
#include "huntd/child.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/log.h"

namespace huntd::server {

void begin_child(pid_t parent_pid, const char* name, bool keep_term) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent_pid) _exit(EXIT_FAILURE);
  prctl(PR_SET_NAME, name);
  for (int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2})
    signal(number, keep_term && number == SIGTERM ? SIG_DFL : SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

void close_all_but(std::vector<int> kept) {
  kept.push_back(log::descriptor());
  std::sort(kept.begin(), kept.end());
  unsigned from = STDERR_FILENO + 1;
  for (int const descriptor : kept) {
    auto const number = static_cast<unsigned>(descriptor);
    if (descriptor < 0 || number < from) continue;
    if (number > from) close_range(from, number - 1, 0);
    from = number + 1;
  }
  close_range(from, ~0U, 0);
}

}  // namespace huntd::server
