// SPDX-License-Identifier: Apache-2.0
// One io_uring, for one thread, which sets it up, submits and reaps (SINGLE_ISSUER, DEFER_TASKRUN:
// completions are delivered only while that thread waits for them). Its "slots" are the kernel's
// fixed files: sockets that are not file descriptors of the process.
#pragma once
#include <liburing.h>

#include <array>
#include <climits>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"

namespace huntd::server {

// An operation in the kernel. REQUIRES: it exists until its last completion, which is the one
// without IORING_CQE_F_MORE.
class Op {
 public:
  // `result` is a value or a negative errno; `flags` are IORING_CQE_F_*.
  virtual void complete(int32_t result, uint32_t flags) = 0;

 protected:
  ~Op() = default;
};

// Newer than liburing 2.3.
inline constexpr int op_fixed_fd_install = 54;
inline constexpr unsigned feature_no_iowait = 1U << 17;  // IORING_FEAT_NO_IOWAIT, of kernel 6.15
inline constexpr unsigned enter_no_iowait = 1U << 7;     // IORING_ENTER_NO_IOWAIT
inline constexpr unsigned setup_no_sqarray = 1U << 16;   // IORING_SETUP_NO_SQARRAY

// What the kernel, its settings and a seccomp filter allow.
struct RingFeatures {
  std::string kernel;                // uname release
  std::vector<std::string> present;  // features found
  std::vector<std::string> absent;
};
// Tries a ring with the flags and operations that huntd needs. The error names the reason (sysctl,
// seccomp, kernel too old) and what to change.
Result<RingFeatures> probe_ring();

// The receive buffers of one kind of connection. The kernel takes one per completion; if none is
// left, receives end with -ENOBUFS.
enum class BufferGroup : uint16_t { clients, outgoing };

// What ends a wait: `wanted` completions at once, or any after `min_wait_ns`. By default the first.
struct Gather {
  unsigned wanted = 1;
  uint64_t min_wait_ns = 0;  // rounded to µs
};

class Ring {
 public:
  Ring() = default;
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Sets up the ring and its receive buffers. REQUIRES: called by the thread that uses the ring.
  Result<void> open();
  // Adds a table of `count` slots. If that fails, the ring works without slots.
  Result<void> open_slots(unsigned count);
  bool has_slots() const { return has_slots_; }

  // Returns a blank submission entry whose completion goes to `op`. Submits first if the queue is
  // full.
  io_uring_sqe* prepare(Op& op);
  // The same, for an operation whose completion is not needed.
  io_uring_sqe* prepare_detached();
  // Cancels `op`, which completes with -ECANCELED or, if it was already done, with its result.
  void cancel(Op& op);
  // The same for all operations of `op`.
  void cancel_all(Op& op);
  // Submits what is prepared and waits for a completion, for `timeout_ns` at most (0: does not
  // wait). One system call.
  void submit_and_wait(uint64_t timeout_ns) { submit_and_wait(timeout_ns, {}); }
  // The same; but as long as `gather.min_wait_ns` has not passed, a completion is not enough:
  // `gather.wanted` are. Kernels before 6.15 do not gather.
  void submit_and_wait(uint64_t timeout_ns, Gather gather);
  // Puts all completions that the kernel has into the queue, for reap(). Costs a few system calls.
  void collect();
  // Delivers completions to their Ops: all that are in the queue, but at most `completions_max`.
  // Returns false if there may be more.
  bool reap(unsigned completions_max = UINT_MAX);

  // Makes `sqe`, a receive, take its buffers from `group`.
  static void receive_into(BufferGroup group, io_uring_sqe* sqe);
  // The bytes that a receive into `group` completed with; recycle() returns the buffer to the
  // kernel. REQUIRES: `flags` has IORING_CQE_F_BUFFER.
  std::string_view buffer(BufferGroup group, uint32_t flags, int32_t length) const;
  void recycle(BufferGroup group, uint32_t flags);

  // Operations of Ops that have not had their last completion.
  uint64_t in_flight() const { return in_flight_; }

 private:
  io_uring ring_{};
  bool open_ = false;
  bool has_slots_ = false;
  struct Buffers {
    uint32_t count;
    io_uring_buf_ring* entries = nullptr;
    char* memory = nullptr;
    size_t entries_bytes() const;
    size_t memory_bytes() const;
    // Adds a buffer, `offset` behind the tail; io_uring_buf_ring_advance() publishes it.
    void add(uint32_t id, int offset);
  };
  Result<void> open_buffers(BufferGroup group);
  const Buffers& of(BufferGroup group) const { return buffers_[static_cast<size_t>(group)]; }

  std::array<Buffers, 2> buffers_{
      {{limits::recv_buffers_clients}, {limits::recv_buffers_outgoing}}};  // by BufferGroup
  uint64_t in_flight_ = 0;
};

}  // namespace huntd::server
