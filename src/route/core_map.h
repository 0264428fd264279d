// Buckets → cores. Pure, and the same on every core and in every process that computes it.
#pragma once
#include <array>
#include <bitset>
#include <cstdint>

#include "base/limits.h"

namespace huntd {

class CoreMap {
 public:
  // The map of `cores` cores (1 .. limits::cores_max), all up. It is built as if the cores had been
  // added one by one, each taking its fair share from those that have most: so every core has the
  // same number of buckets (to one), and going from N to N+1 cores moves 1024/(N+1) of them and no
  // other.
  explicit CoreMap(uint32_t cores);

  uint32_t cores() const { return cores_; }
  // The core that owns `bucket` while all are up.
  uint32_t owner(uint32_t bucket) const { return owners_[bucket]; }
  // The core that serves `bucket` now: its owner, or, where that is down, the next one on the map
  // that is up (by a rank of its own for each bucket, so that the buckets of a core that is down
  // spread over all others). The owner where none is up.
  uint32_t server(uint32_t bucket) const;

  void set_up(uint32_t core, bool up) { up_[core] = up; }
  bool is_up(uint32_t core) const { return up_[core]; }

 private:
  uint32_t cores_;
  std::array<uint8_t, limits::buckets> owners_{};
  std::bitset<limits::cores_max> up_;
};

}  // namespace huntd
