// SPDX-License-Identifier: Apache-2.0
// When workers may be started after starts that failed. Starts that were requested together fail
// together, so the failures until the end of a pause are one round. A pause follows each round, and
// is twice as long as the one before.
#pragma once
#include <algorithm>
#include <cstdint>

#include "base/limits.h"

namespace huntd::server {

class StartBackoff {
 public:
  // Whether no start has succeeded since one failed.
  bool failed() const { return rounds_ > 0; }
  // Whether a hunt may start a worker. One failure may have been a lack of room for a moment, so
  // hunts are rejected from the second round on.
  bool may_start(uint64_t now_ns) const { return rounds_ < 2 || now_ns >= next_at_ns_; }
  // Whether so many rounds failed that the core is not ready.
  bool failing() const { return rounds_ >= limits::start_failures_min; }
  uint64_t rounds() const { return rounds_; }
  uint64_t pause_ns() const { return pause_ns_; }
  // The end of the pause.
  uint64_t next_at_ns() const { return next_at_ns_; }
  // When the latest start failed, and why: an errno; or 0 if the worker exited before it had a job,
  // with this status (waitpid(2)).
  uint64_t failed_at_ns() const { return failed_at_ns_; }
  int spawn_errno() const { return spawn_errno_; }
  int wait_status() const { return wait_status_; }

  void on_failed(uint64_t now_ns, int spawn_errno, int wait_status) {
    failed_at_ns_ = now_ns;
    spawn_errno_ = spawn_errno;
    wait_status_ = wait_status;
    if (failed() && now_ns < next_at_ns_) return;
    pause_ns_ = failed() ? std::min(2 * pause_ns_, limits::start_pause_max_ns)
                         : limits::start_pause_first_ns;
    ++rounds_;
    next_at_ns_ = now_ns + pause_ns_;
  }
  void on_succeeded() { *this = StartBackoff(); }

 private:
  uint64_t rounds_ = 0;
  uint64_t pause_ns_ = 0;
  uint64_t next_at_ns_ = 0;
  uint64_t failed_at_ns_ = 0;
  int spawn_errno_ = 0;
  int wait_status_ = 0;
};

}  // namespace huntd::server
