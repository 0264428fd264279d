// SPDX-License-Identifier: Apache-2.0
// --timeout: how long huntctl waits for its peers. The clients of the peers have timeouts of their
// own; what they do not bound (a name server, a peer that replies a byte at a time) is ended by a
// thread.
#pragma once
#include <cstdint>
#include <string>

namespace huntd::huntctl {

// Without --timeout, for one HTTP request.
inline constexpr int64_t answer_timeout_ms_default = 30'000;

// Applies --timeout to each reply of a peer and, unless `each_reply_only`, to the whole command.
// REQUIRES: called once, before the first peer is called.
void start_timeout(int64_t timeout_ms, bool each_reply_only);

// How long one HTTP request may take now.
int64_t answer_timeout_ms();

// Sleeps. The time does not count for --timeout.
void pause_command(int64_t ms);

// While it exists, the command waits for this peer, which errors then name: "Redis at HOST:PORT".
class PeerCall {
 public:
  // `bound_ms` 0: only the time of --timeout bounds the call. Else the process ends with
  // exit_unreachable if the object still exists then.
  explicit PeerCall(std::string peer, int64_t bound_ms = 0);
  ~PeerCall();
  PeerCall(const PeerCall&) = delete;
  PeerCall& operator=(const PeerCall&) = delete;

 private:
  std::string previous_;
};

// "5 s", "0.5 s".
std::string seconds_text(int64_t ms);

}  // namespace huntd::huntctl
