// SPDX-License-Identifier: Apache-2.0
#include "schedule.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "base/check.h"

namespace huntd::load {

Schedule::Schedule(double rate, uint32_t connections, uint64_t total, uint64_t seed)
    : ns_between_(1e9 / rate), total_(total), order_(connections), queues_(connections) {
  CHECK(rate > 0 && connections > 0);
  std::iota(order_.begin(), order_.end(), 0);
  std::shuffle(order_.begin(), order_.end(), std::mt19937_64(seed));
  for (uint32_t i = 0; i < connections; ++i) queues_[order_[i]].position = i;
}

std::optional<uint32_t> Schedule::come_due(uint64_t now_ns) {
  if (next_due_ns() > now_ns) return std::nullopt;
  uint32_t const connection = order_[position_];
  ++queues_[connection].due;
  ++come_;
  if (++position_ == order_.size()) position_ = 0;
  return connection;
}

uint64_t Schedule::take(uint32_t connection) {
  CHECK(waits(connection));
  Queue& queue = queues_[connection];
  return due_ns(queue.taken++ * order_.size() + queue.position);
}

}  // namespace huntd::load
