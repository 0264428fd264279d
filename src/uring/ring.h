// The only file pair that owns an io_uring. One thread sets it up, submits and reaps
// (SINGLE_ISSUER, DEFER_TASKRUN: completions are delivered only when that thread enters the kernel
// for them).
#pragma once
#include <liburing.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"

namespace huntd::uring {

// One kernel operation in flight (or a multishot one that keeps completing). The kernel holds its
// address from submission to the last completion (no IORING_CQE_F_MORE), so it must live that long.
class Op {
 public:
  virtual void complete(int32_t result, uint32_t flags) = 0;

 protected:
  ~Op() = default;
};

inline constexpr int op_fixed_fd_install = 54;  // newer than liburing 2.3

// What this kernel and its rules allow.
struct Features {
  std::string kernel;                // uname release
  std::vector<std::string> present;  // names of what was probed and found
  std::vector<std::string> absent;
};
// Tries a ring with the flags and operations that huntd needs. The error is one sentence that names
// the cause (sysctl, seccomp, kernel too old) and the cure.
Result<Features> probe();

// The receive buffers of one kind of connection: the kernel takes one for each completion, and
// waits with -ENOBUFS where none is left.
enum class BufferGroup : uint16_t { clients, outgoing };

class Ring {
 public:
  Ring() = default;
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Sets up the ring and its provided buffers; to be called by the thread that will use it.
  Result<void> open();
  // Adds a table of `count` slots for sockets that are no descriptors of the process. An error says
  // in half a sentence why there is none; the ring works without.
  Result<void> open_slots(unsigned count);
  bool has_slots() const { return has_slots_; }

  // A blank submission entry whose completion goes to `op`. Where the queue is full it is submitted
  // first.
  io_uring_sqe* prepare(Op& op);
  // The same, and nobody is told of the completion.
  io_uring_sqe* prepare_untold();
  // Asks the kernel to cancel `op`; op then completes (with -ECANCELED, or with what had happened
  // before).
  void cancel(Op& op);
  // The same where `op` is the one of several operations.
  void cancel_all(Op& op);
  // Submits what is prepared and waits for `wanted` completions or until `timeout_ns` from now (0:
  // not at all). One system call.
  void submit_and_wait(uint64_t timeout_ns, unsigned wanted = 1);
  // Hands every completion that has come to its Op.
  void reap();

  // Makes `sqe`, a receive, take its buffers from `group`.
  static void receive_into(BufferGroup group, io_uring_sqe* sqe);
  // The bytes of a completion that carries IORING_CQE_F_BUFFER, of a receive into `group`; give the
  // buffer back with recycle().
  std::string_view buffer(BufferGroup group, uint32_t flags, int32_t length) const;
  void recycle(BufferGroup group, uint32_t flags);

  // Operations submitted whose last completion has not come.
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
    void add(uint32_t id, int place);  // to be told of by io_uring_buf_ring_advance
  };
  Result<void> open_buffers(BufferGroup group);
  const Buffers& of(BufferGroup group) const { return buffers_[static_cast<size_t>(group)]; }

  std::array<Buffers, 2> buffers_{
      {{limits::recv_buffers_clients}, {limits::recv_buffers_outgoing}}};  // by BufferGroup
  uint64_t in_flight_ = 0;
};

}  // namespace huntd::uring
