// SPDX-License-Identifier: Apache-2.0
// Shows how far a long command is, on stderr: a bar on a terminal, else a line every few seconds.
#pragma once
#include <cstdint>
#include <string>

namespace huntd::huntctl {

class Progress {
 public:
  // `what` is what is done, as in "deleting from Redis". `total` 0: not known.
  explicit Progress(std::string what, uint64_t total = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Shows that `done` are done.
  void at(uint64_t done);
  void add(uint64_t more) { at(done_ + more); }
  // Shows a text in place of the numbers, as in "3 events wait".
  void say(const std::string& text);

 private:
  bool due();
  void show(const std::string& line);

  std::string what_;
  uint64_t total_;
  uint64_t done_ = 0;
  bool terminal_;
  bool shown_ = false;  // a line of the terminal is to be erased
  int64_t next_at_ms_;
};

// "what [#####     ]  50 %  5 of 10", or "what  5" if `total` is 0. `width` is the number of
// characters within the brackets; 0: without them.
std::string progress_text(const std::string& what, uint64_t done, uint64_t total, size_t width);

}  // namespace huntd::huntctl
