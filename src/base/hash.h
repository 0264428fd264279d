// SPDX-License-Identifier: Apache-2.0
// XXH3-64 assigns hunters to buckets; XXH3-128 names bundles and events.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/limits.h"
#include "base/pool.h"

namespace huntd {

// XXH3-64, seed 0.
uint64_t hash64(std::string_view bytes);
// XXH3-128, seed 0, as 32 lower-case hex digits in canonical (big-endian) order.
PoolString hash128_hex(std::string_view bytes);
// The bucket of a hunter: XXH3-64(hunter_id) mod 1024.
inline uint32_t bucket_of(std::string_view hunter_id) {
  return static_cast<uint32_t>(hash64(hunter_id) % limits::buckets);
}

}  // namespace huntd
