// SPDX-License-Identifier: Apache-2.0
#include "core/route/core_map.h"

#include <fmt/format.h>

#include <vector>

#include "base/check.h"

namespace huntd::server {
namespace {

// A fixed pseudo-random rank of a core for a bucket: the finalizer of MurmurHash3.
uint64_t rank(uint32_t core, uint32_t bucket) {
  uint64_t x = (static_cast<uint64_t>(core) << 32 | bucket) + 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

}  // namespace

CoreMap::CoreMap(uint32_t cores) : cores_(cores) {
  CHECK(cores >= 1 && cores <= limits::cores_max);
  std::vector<uint32_t> count(cores, 0);
  count[0] = limits::buckets;
  for (uint32_t added = 1; added < cores; ++added) {
    uint32_t const share = limits::buckets / (added + 1);
    for (uint32_t taken = 0; taken < share; ++taken) {
      uint32_t fullest = 0;
      for (uint32_t core = 1; core < added; ++core)
        if (count[core] > count[fullest]) fullest = core;
      // Take the bucket of the fullest core that ranks highest for the new core.
      uint32_t best = limits::buckets;
      for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
        if (owners_[bucket] == fullest &&
            (best == limits::buckets || rank(added, bucket) > rank(added, best)))
          best = bucket;
      owners_[best] = static_cast<uint8_t>(added);
      --count[fullest];
      ++count[added];
    }
  }
  for (uint32_t core = 0; core < cores; ++core) up_[core] = true;
}

uint32_t CoreMap::server(uint32_t bucket) const {
  uint32_t const owner = owners_[bucket];
  if (up_[owner] || up_.none()) return owner;
  uint32_t best = owner;
  for (uint32_t core = 0; core < cores_; ++core)
    if (up_[core] && (best == owner || rank(core, bucket) > rank(best, bucket))) best = core;
  return best;
}

std::string CoreMap::json() const {
  std::string json = fmt::format(R"({{"hash":"xxh3-64","seed":0,"buckets":{},"cores":{},"up":[)",
                                 limits::buckets, cores_);
  for (uint32_t core = 0; core < cores_; ++core)
    json += fmt::format("{}{}", core == 0 ? "" : ",", is_up(core));
  json += R"(],"map":[)";
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
    json += fmt::format("{}{}", bucket == 0 ? "" : ",", owner(bucket));
  json += "]}";
  return json;
}

}  // namespace huntd::server
