// SPDX-License-Identifier: Apache-2.0
#include "linux/ring.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"

namespace huntd::server {
namespace {

constexpr unsigned flags_needed = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                  IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                                  IORING_SETUP_CLAMP;

io_uring_params needed_params() {
  io_uring_params params{};
  params.flags = flags_needed;
  params.cq_entries = limits::ring_cq_entries;
  return params;
}

// The value of a sysctl that is one number; -1 if it cannot be read.
int read_sysctl(const char* path) {
  FILE* file = std::fopen(path, "re");
  if (file == nullptr) return -1;
  int value = -1;
  if (std::fscanf(file, "%d", &value) != 1) value = -1;
  std::fclose(file);
  return value;
}

bool under_seccomp_filter() {
  FILE* file = std::fopen("/proc/self/status", "re");
  if (file == nullptr) return false;
  char line[256];
  int mode = 0;
  while (std::fgets(line, sizeof line, file) != nullptr)
    if (std::sscanf(line, "Seccomp: %d", &mode) == 1) break;
  std::fclose(file);
  return mode == 2;
}

std::string kernel_release() {
  utsname name{};
  uname(&name);
  return name.release;
}

// Why io_uring cannot be used, and what the operator can do.
std::string explain(int error) {
  int const disabled = read_sysctl("/proc/sys/kernel/io_uring_disabled");
  if (error == EPERM && disabled == 2)
    return "io_uring is disabled by the sysctl kernel.io_uring_disabled=2: "
           "set it to 0 (sysctl -w kernel.io_uring_disabled=0); huntd needs io_uring";
  if (error == EPERM && disabled == 1)
    return "io_uring is limited to privileged processes by the sysctl kernel.io_uring_disabled=1: "
           "set it to 0, or set kernel.io_uring_group to huntd's group";
  if (under_seccomp_filter() && (error == EPERM || error == ENOSYS || error == EACCES))
    return "io_uring is forbidden by a seccomp filter (the default profile of Docker and containerd): "
           "use a profile that allows io_uring_setup, io_uring_enter and io_uring_register";
  if (error == ENOSYS || error == EINVAL)
    return fmt::format(
        "io_uring of kernel {} lacks what huntd needs ({}): kernel 6.1 is the oldest that works",
        kernel_release(), std::strerror(error));
  if (error == ENOMEM)
    return "io_uring cannot lock its memory (ENOMEM): "
           "raise LimitMEMLOCK of the service to 64M or more";
  return fmt::format(
      "io_uring cannot be set up ({}): a security module or the kernel's settings forbid it; "
      "see docs/operations.md, \"If io_uring is not permitted\"",
      std::strerror(error));
}

// Closing a slot must close its socket at once. Up to kernel 6.12, a slot's file is closed only
// after all operations that were submitted earlier on any other slot, so one idle client would keep
// open the sockets of all clients that disconnect after it
// (https://github.com/axboe/liburing/issues/1192). The test: a receive waits on slot 0, slot 1 is
// closed, and the other end of slot 1's pair must see the end. REQUIRES: a ring with an empty table
// and no operation in flight.
bool closes_slots_at_once(io_uring& ring) {
  int idle[2] = {-1, -1};
  int closing[2] = {-1, -1};
  bool at_once = false;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, idle) == 0 &&
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, closing) == 0) {
    int const into_table[2] = {idle[0], closing[0]};
    bool const registered = io_uring_register_files_update(&ring, 0, into_table, 2) == 2;
    close(std::exchange(closing[0], -1));
    char byte = 0;
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    io_uring_prep_recv(sqe, 0, &byte, sizeof byte, 0);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe = io_uring_get_sqe(&ring);
    io_uring_prep_close_direct(sqe, 1);
    at_once = registered && io_uring_submit_and_wait(&ring, 1) == 2 &&
              recv(closing[1], &byte, sizeof byte, MSG_DONTWAIT) == 0;
    // The receive must end before `byte` goes out of scope.
    shutdown(idle[1], SHUT_RDWR);
    io_uring_submit_and_wait(&ring, 2);
  }
  for (int descriptor : {idle[0], idle[1], closing[0], closing[1]})
    if (descriptor >= 0) close(descriptor);
  return at_once;
}

// Why this kernel's slots cannot be used; empty if they can.
std::string slots_problem() {
  io_uring ring{};
  io_uring_params params = needed_params();
  if (io_uring_queue_init_params(8, &ring, &params) < 0) return "cannot set up a ring to try slots";
  io_uring_probe* ops = io_uring_get_probe_ring(&ring);
  bool const installs = ops != nullptr && io_uring_opcode_supported(ops, op_fixed_fd_install) != 0;
  if (ops != nullptr) io_uring_free_probe(ops);
  std::string problem;
  if (!installs)
    problem = "this kernel cannot pass a slot to another process (fixed_fd_install needs 6.8)";
  else if (io_uring_register_files_sparse(&ring, 2) < 0)
    problem = "this kernel cannot register a table of files";
  else if (!closes_slots_at_once(ring))
    problem =
        "this kernel closes a slot only after older operations on other slots (fixed in 6.13)";
  io_uring_queue_exit(&ring);
  return problem;
}

// Passes the prepared entries to the kernel, as each submission of liburing does. Returns how many
// it has not taken yet.
unsigned flush_entries(io_uring_sq& queue, bool has_array) {
  for (; has_array && queue.sqe_head != queue.sqe_tail; ++queue.sqe_head)
    queue.array[queue.sqe_head & queue.ring_mask] = queue.sqe_head & queue.ring_mask;
  queue.sqe_head = queue.sqe_tail;
  __atomic_store_n(queue.ktail, queue.sqe_tail, __ATOMIC_RELEASE);
  return queue.sqe_tail - __atomic_load_n(queue.khead, __ATOMIC_RELAXED);
}

// io_uring_getevents_arg, with the name that liburing 2.8 gives to its third member (`pad` before).
struct GetEventsArg {
  uint64_t signal_mask = 0;
  uint32_t signal_mask_bytes = _NSIG / 8;
  uint32_t min_wait_us = 0;
  uint64_t timeout = 0;
};
static_assert(sizeof(GetEventsArg) == sizeof(io_uring_getevents_arg));

// Like io_uring_submit_and_wait_timeout(), in one call of the kernel also if completions are there,
// and the time spent waiting does not count as iowait. liburing can do that since 2.10.
int submit_and_wait_idle(io_uring& ring, Gather gather, __kernel_timespec& timeout) {
  GetEventsArg argument;
  argument.min_wait_us = static_cast<uint32_t>(gather.min_wait_ns / 1000);
  argument.timeout = reinterpret_cast<uint64_t>(&timeout);
  unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | enter_no_iowait;
  if (ring.enter_ring_fd != ring.ring_fd) flags |= IORING_ENTER_REGISTERED_RING;
  unsigned const entries = flush_entries(ring.sq, (ring.flags & setup_no_sqarray) == 0);
  return io_uring_enter2(static_cast<unsigned>(ring.enter_ring_fd), entries, gather.wanted, flags,
                         reinterpret_cast<sigset_t*>(&argument), sizeof argument);
}

}  // namespace

Result<RingFeatures> probe_ring() {
  RingFeatures features;
  features.kernel = kernel_release();
  io_uring ring{};
  io_uring_params params = needed_params();
  int const error = -io_uring_queue_init_params(8, &ring, &params);
  if (error > 0) return Error{explain(error)};

  io_uring_probe* ops = io_uring_get_probe_ring(&ring);
  struct {
    int op;
    const char* name;
    bool needed;
  } const wanted[] = {{IORING_OP_ACCEPT, "accept", true},
                      {IORING_OP_RECV, "recv", true},
                      {IORING_OP_SENDMSG, "sendmsg", true},
                      {IORING_OP_RECVMSG, "recvmsg", true},
                      {IORING_OP_SEND, "send", true},
                      {IORING_OP_CONNECT, "connect", true},
                      {IORING_OP_POLL_ADD, "poll", true},
                      {IORING_OP_ASYNC_CANCEL, "cancel", true},
                      {IORING_OP_SEND_ZC, "send_zc", false},
                      {50, "waitid", false},
                      {op_fixed_fd_install, "fixed_fd_install", false}};
  std::string missing;
  for (const auto& want : wanted) {
    bool const found = ops != nullptr && io_uring_opcode_supported(ops, want.op) != 0;
    (found ? features.present : features.absent).push_back(want.name);
    if (want.needed && !found) missing = want.name;
  }
  if (ops != nullptr) io_uring_free_probe(ops);
  // Buffer rings (of 5.19) have no operation to probe for: registering one is the test.
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(memory);
  registration.ring_entries = 8;
  bool const buffers =
      memory != MAP_FAILED && io_uring_register_buf_ring(&ring, &registration, 0) == 0;
  (buffers ? features.present : features.absent).push_back("buffer_ring");
  bool const no_iowait = (ring.features & feature_no_iowait) != 0;
  (no_iowait ? features.present : features.absent).push_back("no_iowait");
  if (!buffers) missing = "buffer_ring";
  (slots_problem().empty() ? features.present : features.absent).push_back("direct_descriptors");
  io_uring_queue_exit(&ring);
  if (memory != MAP_FAILED) munmap(memory, 4096);
  if (!missing.empty())
    return Error{fmt::format("io_uring of kernel {} lacks {}: kernel 6.1 is the oldest that works",
                             features.kernel, missing)};
  return features;
}

Result<void> Ring::open() {
  io_uring_params params = needed_params();
  int const error = -io_uring_queue_init_params(limits::ring_sq_entries, &ring_, &params);
  if (error > 0) return Error{explain(error)};
  open_ = true;
  io_uring_ring_dontfork(&ring_);
  // Saves a descriptor look-up per enter; optional.
  (void)io_uring_register_ring_fd(&ring_);

  for (BufferGroup const group : {BufferGroup::clients, BufferGroup::outgoing})
    if (Result<void> opened = open_buffers(group); !opened) return opened;
  return {};
}

size_t Ring::Buffers::entries_bytes() const { return count * sizeof(io_uring_buf); }
size_t Ring::Buffers::memory_bytes() const { return count * limits::recv_buffer_bytes; }

void Ring::Buffers::add(uint32_t id, int offset) {
  io_uring_buf_ring_add(entries, memory + id * limits::recv_buffer_bytes, limits::recv_buffer_bytes,
                        static_cast<uint16_t>(id), io_uring_buf_ring_mask(count), offset);
}

Result<void> Ring::open_buffers(BufferGroup group) {
  Buffers& buffers = buffers_[static_cast<size_t>(group)];
  auto const map = [](size_t bytes) {
    return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  };
  void* entries = map(buffers.entries_bytes());
  void* memory = map(buffers.memory_bytes());
  if (entries == MAP_FAILED || memory == MAP_FAILED)
    return Error{"cannot map memory for the receive buffers"};
  buffers.entries = static_cast<io_uring_buf_ring*>(entries);
  buffers.memory = static_cast<char*>(memory);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(entries);
  registration.ring_entries = buffers.count;
  registration.bgid = static_cast<uint16_t>(group);
  int const error = -io_uring_register_buf_ring(&ring_, &registration, 0);
  if (error > 0) return Error{explain(error)};
  io_uring_buf_ring_init(buffers.entries);
  for (uint32_t i = 0; i < buffers.count; ++i) buffers.add(i, static_cast<int>(i));
  io_uring_buf_ring_advance(buffers.entries, static_cast<int>(buffers.count));
  return {};
}

Result<void> Ring::open_slots(unsigned count) {
  if (std::string problem = slots_problem(); !problem.empty()) return Error{std::move(problem)};
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  int const error = -io_uring_register_files_sparse(&ring_, count);
  if (error == EMFILE)
    return Error{
        fmt::format("a table of {} slots (http.connections_max + {}) is above LimitNOFILE={}",
                    count, limits::file_slots_extra, files.rlim_cur)};
  if (error > 0) return Error{fmt::format("a table of {} slots: {}", count, std::strerror(error))};
  has_slots_ = true;
  // Of our operations, only shutdown runs on a thread of the kernel; it never blocks, so one thread
  // is enough.
  unsigned threads[2] = {1, 0};
  (void)io_uring_register_iowq_max_workers(&ring_, threads);
  return {};
}

Ring::~Ring() {
  if (!open_) return;
  io_uring_queue_exit(&ring_);
  for (const Buffers& buffers : buffers_) {
    if (buffers.entries != nullptr) munmap(buffers.entries, buffers.entries_bytes());
    if (buffers.memory != nullptr) munmap(buffers.memory, buffers.memory_bytes());
  }
}

io_uring_sqe* Ring::prepare_detached() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    // EBUSY and EAGAIN: completions must be reaped first; the kernel keeps those that overflowed.
    int const submitted = io_uring_submit(&ring_);
    CHECK(submitted >= 0 || submitted == -EINTR || submitted == -EAGAIN || submitted == -EBUSY);
    sqe = io_uring_get_sqe(&ring_);
  }
  io_uring_sqe_set_data(sqe, nullptr);
  return sqe;
}

io_uring_sqe* Ring::prepare(Op& op) {
  io_uring_sqe* sqe = prepare_detached();
  io_uring_sqe_set_data(sqe, &op);
  ++in_flight_;
  return sqe;
}

void Ring::cancel(Op& op) {
  // The completion of the target has the result.
  io_uring_prep_cancel(prepare_detached(), &op, 0);
}

void Ring::cancel_all(Op& op) {
  io_uring_prep_cancel(prepare_detached(), &op, IORING_ASYNC_CANCEL_ALL);
}

void Ring::submit_and_wait(uint64_t timeout_ns, Gather gather) {
  io_uring_cqe* first = nullptr;
  if (timeout_ns == 0) {
    int const entered = io_uring_submit_and_get_events(&ring_);
    CHECK(entered >= 0 || entered == -EINTR || entered == -EAGAIN || entered == -EBUSY);
  } else {
    __kernel_timespec timeout{};
    timeout.tv_sec = static_cast<int64_t>(timeout_ns / 1'000'000'000);
    timeout.tv_nsec = static_cast<long long>(timeout_ns % 1'000'000'000);
    gather.min_wait_ns = std::min(gather.min_wait_ns, timeout_ns);
    unsigned const wanted_at_once = gather.min_wait_ns == 0 ? gather.wanted : 1;
    int const entered =
        (ring_.features & feature_no_iowait) != 0
            ? submit_and_wait_idle(ring_, gather, timeout)
            : io_uring_submit_and_wait_timeout(&ring_, &first, wanted_at_once, &timeout, nullptr);
    CHECK(entered >= 0 || entered == -ETIME || entered == -EINTR || entered == -EAGAIN ||
          entered == -EBUSY);
  }
}

// Kernels from 6.13 on put 20 completions into the queue per call, and after a wait only as many as
// were wanted.
void Ring::collect() {
  unsigned ready = 0;
  do {
    ready = io_uring_cq_ready(&ring_);
    submit_and_wait(0);
  } while (io_uring_cq_ready(&ring_) > ready);
}

bool Ring::reap(unsigned completions_max) {
  io_uring_cqe* batch[limits::reap_batch];
  while (completions_max > 0) {
    unsigned const count =
        io_uring_peek_batch_cqe(&ring_, batch, std::min(limits::reap_batch, completions_max));
    if (count == 0) return true;
    completions_max -= count;
    // Copied first: complete() may prepare entries, which may submit and so move the queue.
    struct {
      Op* op;
      int32_t result;
      uint32_t flags;
    } copies[limits::reap_batch];
    for (unsigned i = 0; i < count; ++i)
      copies[i] = {static_cast<Op*>(io_uring_cqe_get_data(batch[i])), batch[i]->res,
                   batch[i]->flags};
    io_uring_cq_advance(&ring_, count);
    for (unsigned i = 0; i < count; ++i) {
      if (copies[i].op == nullptr) continue;
      if ((copies[i].flags & IORING_CQE_F_MORE) == 0) --in_flight_;
      copies[i].op->complete(copies[i].result, copies[i].flags);
    }
  }
  return false;
}

void Ring::receive_into(BufferGroup group, io_uring_sqe* sqe) {
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = static_cast<uint16_t>(group);
}

std::string_view Ring::buffer(BufferGroup group, uint32_t flags, int32_t length) const {
  uint32_t const id = flags >> IORING_CQE_BUFFER_SHIFT;
  CHECK((flags & IORING_CQE_F_BUFFER) != 0 && id < of(group).count && length >= 0 &&
        static_cast<size_t>(length) <= limits::recv_buffer_bytes);
  return {of(group).memory + id * limits::recv_buffer_bytes, static_cast<size_t>(length)};
}

void Ring::recycle(BufferGroup group, uint32_t flags) {
  Buffers& buffers = buffers_[static_cast<size_t>(group)];
  uint32_t const id = flags >> IORING_CQE_BUFFER_SHIFT;
  CHECK(id < buffers.count);
  buffers.add(id, 0);
  io_uring_buf_ring_advance(buffers.entries, 1);
}

}  // namespace huntd::server
