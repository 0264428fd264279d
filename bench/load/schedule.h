// The open loop: when each request is due, and on which connection, whatever the server does. Pure;
// the generator feeds it the time.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace huntd::load {

// Request k is due at start + k / rate. Requests go round the connections in one shuffled order. A
// connection's requests wait for each other, oldest first, and keep the time at which they were
// due: since order and times are fixed, the queue of a connection is two counters, however long it
// grows.
class Schedule {
 public:
  // `rate` is requests a second, above 0; `total` of them are made. `seed` fixes the order.
  Schedule(double rate, uint32_t connections, uint64_t total, uint64_t seed);

  // Every time is on the caller's clock; request 0 is due at `start_ns`.
  void start(uint64_t start_ns) { start_ns_ = start_ns; }
  uint64_t due_ns(uint64_t request) const {
    return start_ns_ + static_cast<uint64_t>(static_cast<double>(request) * ns_between_);
  }

  // The connection of the next request that is due at `now_ns`, nothing where none is. That request
  // waits on its connection from here on.
  std::optional<uint32_t> come_due(uint64_t now_ns);
  // When the next request comes due; UINT64_MAX after the last.
  uint64_t next_due_ns() const { return come_ == total_ ? UINT64_MAX : due_ns(come_); }

  bool waits(uint32_t connection) const {
    return lanes_[connection].come > lanes_[connection].gone;
  }
  // Takes the oldest request that waits on `connection`: the time at which it was due, which is
  // when its latency begins.
  uint64_t take(uint32_t connection);

  uint64_t come() const { return come_; }

 private:
  struct Lane {
    uint32_t place = 0;  // of this connection in the order
    uint64_t come = 0;   // its requests that have come due
    uint64_t gone = 0;   // those taken
  };

  double ns_between_;
  uint64_t total_;
  uint64_t start_ns_ = 0;
  uint64_t come_ = 0;
  size_t place_ = 0;  // of the next request in the order
  std::vector<uint32_t> order_;
  std::vector<Lane> lanes_;
};

}  // namespace huntd::load
