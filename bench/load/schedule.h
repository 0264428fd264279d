// SPDX-License-Identifier: Apache-2.0
// The open loop: when each request is due, and on which connection, independent of the server. Has
// no clock of its own.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace huntd::load {

// Request k is due at start + k / rate. The requests are assigned to the connections in one
// shuffled order, again and again. The requests of a connection wait for each other, oldest first,
// and keep their due times. Since order and times are fixed, a connection's queue is two counters.
class Schedule {
 public:
  // `rate` is requests per second, above 0; `total` is their number. `seed` determines the order.
  Schedule(double rate, uint32_t connections, uint64_t total, uint64_t seed);

  // Request 0 is due at `start_ns`, on the caller's clock.
  void start(uint64_t start_ns) { start_ns_ = start_ns; }
  uint64_t due_ns(uint64_t request) const {
    return start_ns_ + static_cast<uint64_t>(static_cast<double>(request) * ns_between_);
  }

  // Returns the connection of the next request that is due at `now_ns`; nothing if none is. The
  // request then waits on that connection until take().
  std::optional<uint32_t> come_due(uint64_t now_ns);
  // When the next request comes due; UINT64_MAX after the last.
  uint64_t next_due_ns() const { return come_ == total_ ? UINT64_MAX : due_ns(come_); }

  bool waits(uint32_t connection) const {
    return queues_[connection].due > queues_[connection].taken;
  }
  // Removes the oldest request that waits on `connection`. Returns its due time, from which its
  // latency counts. REQUIRES: waits(connection).
  uint64_t take(uint32_t connection);

  uint64_t come() const { return come_; }

 private:
  struct Queue {
    uint32_t position = 0;  // of the connection in the order
    uint64_t due = 0;       // its requests that have come due
    uint64_t taken = 0;
  };

  double ns_between_;
  uint64_t total_;
  uint64_t start_ns_ = 0;
  uint64_t come_ = 0;
  size_t position_ = 0;  // of the next request in the order
  std::vector<uint32_t> order_;
  std::vector<Queue> queues_;
};

}  // namespace huntd::load
