// SPDX-License-Identifier: Apache-2.0
// Where the lines of the log go: a descriptor whose reader may be slow, stopped or gone. A server
// never waits for that reader. What the descriptor does not take at once is kept, up to a bound;
// above the bound, whole lines are dropped and counted, and a later line says how many.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

namespace huntd::log {

// How bytes get to a descriptor.
enum class Way {
  wait,    // write(2), which may wait: for programs that a person runs
  direct,  // write(2), which does not wait
  socket,  // send(2) with MSG_DONTWAIT
  ask,     // pwritev2(2) with RWF_NOWAIT; where the kernel lacks it for this file, poll(2) before
};

// Makes a descriptor one that can be written without waiting, and returns how. A pipe and a
// terminal are opened again in its place (O_NONBLOCK is a property of the open file, and the
// inherited one is shared with the shell). If that is not permitted, the way is `ask`; then a write
// can still wait if another process takes the room between the poll and the write, on kernels
// before 6.4. A regular file has no reader, and a full disk is an error at once. A descriptor that
// is closed becomes /dev/null, so that no file of ours gets its number.
Way stop_waiting(int descriptor);

// Thread-safe. The lock is never held across a wait, except with Way::wait.
class Sink {
 public:
  explicit Sink(int descriptor) : descriptor_(descriptor) {}
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  // REQUIRES: before the first write(), and no other thread uses the sink.
  void use(Way way) { way_ = way; }
  // From now on, entries go to the journal's socket at `path`, which must live as long as the sink.
  // Returns false if it can't be connected to; then nothing has changed. The same REQUIRES.
  bool use_journal(const char* path);
  // Writes lines, each with its line break. A line is never followed by another one before all of
  // it is written, and a line of up to PIPE_BUF bytes never mixes with those of other processes
  // that write to the same pipe.
  void write(std::string_view text);
  // The same for one line, or for one entry of the journal (base/journal.h) if use_journal()
  // succeeded. REQUIRES: not Way::wait.
  void write_entry(std::string entry);
  // Tries again to write what is kept, at most every retry_every_ns. Costs a load if there is
  // nothing. `now_ns` is the time of any monotonic clock.
  void flush(uint64_t now_ns);
  // Waits until the reader has taken what is kept, or for `timeout_ms`; without the lock. Only for
  // a thread that may wait.
  void await_room(int timeout_ms);
  // Whether something is kept, or dropped and not reported yet: flush() has something to do.
  bool behind() const { return behind_.load(std::memory_order_relaxed); }
  // Counts a line that had to be dropped before it came here, to be reported with the others.
  void count_dropped();
  // Where it writes to.
  int descriptor() const { return descriptor_; }
  // Lines dropped since the start of this process.
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  // Around a fork(2): the child starts without what its parent keeps and has counted.
  void before_fork() { mutex_.lock(); }
  void after_fork_in_parent() { mutex_.unlock(); }
  void after_fork_in_child();

  static constexpr uint64_t retry_every_ns = 100'000'000;

 private:
  // All of these REQUIRE the lock.
  void keep(std::string entry);
  void write_kept();
  void report_dropped();
  int64_t put(std::string_view bytes) const;
  int64_t send_to_socket(std::string_view bytes) const;

  int descriptor_;
  const char* journal_ = nullptr;  // the path of its socket, if descriptor_ is connected to it
  Way way_ = Way::wait;
  std::mutex mutex_;
  // Lines, or entries of the journal. The first is the rest of a line that was written in part, if
  // there is one.
  std::deque<std::string> kept_;
  size_t kept_bytes_ = 0;
  uint64_t unreported_ = 0;  // lines dropped that no line has reported yet
  uint64_t tried_ns_ = 0;
  std::atomic<bool> behind_{false};
  std::atomic<uint64_t> dropped_{0};
};

}  // namespace huntd::log
