// SPDX-License-Identifier: Apache-2.0
// Waiting that Ctrl-C ends, for the commands that go on until then.
#pragma once
#include <cstdint>

namespace huntd::huntctl {

// While it exists, SIGINT is noted and does not end the process. A second one does, as without it:
// the first is only seen when the command waits, and a peer may be slow.
// REQUIRES: one at a time.
class Interrupt {
 public:
  enum class Wake { time, interrupted, resized, input };

  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // True if SIGINT has come since the object was made.
  bool requested() const;
  // Waits for `ms`, or until SIGINT, until the terminal has another size, or until `input` (a
  // descriptor; -1: none) can be read or is at its end.
  Wake wait(int64_t ms, int input = -1);
  // Waits for `ms`, or until SIGINT: returns true then.
  bool pause(int64_t ms);
};

}  // namespace huntd::huntctl
