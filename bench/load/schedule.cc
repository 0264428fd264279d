#include "schedule.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "base/check.h"

namespace huntd::load {

Schedule::Schedule(double rate, uint32_t connections, uint64_t total, uint64_t seed)
    : ns_between_(1e9 / rate), total_(total), order_(connections), lanes_(connections) {
  CHECK(rate > 0 && connections > 0);
  std::iota(order_.begin(), order_.end(), 0);
  std::shuffle(order_.begin(), order_.end(), std::mt19937_64(seed));
  for (uint32_t place = 0; place < connections; ++place) lanes_[order_[place]].place = place;
}

std::optional<uint32_t> Schedule::come_due(uint64_t now_ns) {
  if (next_due_ns() > now_ns) return std::nullopt;
  uint32_t const connection = order_[place_];
  ++lanes_[connection].come;
  ++come_;
  if (++place_ == order_.size()) place_ = 0;
  return connection;
}

uint64_t Schedule::take(uint32_t connection) {
  CHECK(waits(connection));
  Lane& lane = lanes_[connection];
  return due_ns(lane.gone++ * order_.size() + lane.place);
}

}  // namespace huntd::load
