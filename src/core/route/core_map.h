// SPDX-License-Identifier: Apache-2.0
// The map of buckets to cores. Pure: every process computes the same map.
#pragma once
#include <array>
#include <bitset>
#include <cstdint>
#include <string>

#include "base/limits.h"

namespace huntd::server {

class CoreMap {
 public:
  // A map in which all cores are up. It is computed by adding the cores one by one, each taking its
  // share from the cores that have the most buckets. So every core has the same number of buckets,
  // to within one, and going from N to N + 1 cores moves only 1024 / (N + 1) buckets, all to the
  // new core. REQUIRES: 1 <= cores <= limits::cores_max.
  explicit CoreMap(uint32_t cores);

  uint32_t cores() const { return cores_; }
  // The core that owns `bucket` while all cores are up.
  uint32_t owner(uint32_t bucket) const { return owners_[bucket]; }
  // The core that serves `bucket` now: its owner, or if that is down, a core that is up. The
  // buckets of a core that is down are spread over all others. The owner if no core is up.
  uint32_t server(uint32_t bucket) const;

  void set_up(uint32_t core, bool up) { up_[core] = up; }
  bool is_up(uint32_t core) const { return up_[core]; }

  // The map as JSON (docs/http-api.md, GET /v1/core-map).
  std::string json() const;

 private:
  uint32_t cores_;
  std::array<uint8_t, limits::buckets> owners_{};
  std::bitset<limits::cores_max> up_;
};

}  // namespace huntd::server
