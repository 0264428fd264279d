// SPDX-License-Identifier: Apache-2.0
// Rate limits of hunters, tokens and hunts ([rate] in the config), by token buckets of one core.
// Pure: the caller has the clock.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "base/pool.h"

namespace huntd::server {

// The buckets that a core remembers per limit. Above it, those that were not used for longest are
// dropped: their next request meets a full bucket.
inline constexpr size_t rate_buckets_max = 65'536;

// How fast a bucket fills, and how many requests it holds at most.
struct Rate {
  uint64_t period_ns = 0;  // between two requests of a sustained load; 0: no limit
  uint32_t burst = 1;
};
// Of `per_minute` requests on the whole host, the share of one of `cores`; 0: no limit.
Rate rate_of(uint32_t per_minute, uint32_t burst, uint32_t cores);

// The buckets of one limit, by name.
class RateBuckets {
 public:
  // `secret`: without it, names cannot be chosen that meet in one bucket.
  RateBuckets(Rate rate, uint64_t secret, size_t buckets_max = rate_buckets_max)
      : rate_(rate), secret_(secret), generation_max_(buckets_max / 2) {}

  bool bounded() const { return rate_.period_ns != 0; }
  // How long until the bucket has a request again; 0: it has one now.
  uint64_t wait_ns(std::string_view name, uint64_t now_ns) const;
  // Takes one request. REQUIRES: wait_ns() is 0.
  void take(std::string_view name, uint64_t now_ns);
  size_t size() const { return newer_.size() + older_.size(); }

 private:
  uint64_t key_of(std::string_view name) const;
  // When the bucket is full again; 0: it is.
  uint64_t full_at_ns(uint64_t key) const;

  Rate rate_;
  uint64_t secret_;
  size_t generation_max_;
  // By key, when the bucket is full again. A used bucket is in `newer_`; when that is full, it
  // becomes `older_`, whose buckets are dropped.
  PoolMap<uint64_t, uint64_t> newer_;
  PoolMap<uint64_t, uint64_t> older_;
};

enum class RateLimit : uint8_t { hunter, token, hunt };

class RateLimits {
 public:
  RateLimits(Rate hunter, Rate token, Rate hunt, uint64_t secret)
      : hunters_(hunter, secret), tokens_(token, secret), hunts_(hunt, secret) {}

  bool any() const { return hunters_.bounded() || tokens_.bounded() || hunts_.bounded(); }
  bool of_tokens() const { return tokens_.bounded(); }
  // Takes one request of each bucket, or of none: then the limit that is exceeded, and how long
  // until it has a request again. An empty `token` counts for none.
  std::optional<std::pair<RateLimit, uint64_t>> take(std::string_view hunter_id,
                                                     std::string_view token,
                                                     std::string_view hunt_id, uint64_t now_ns);

 private:
  RateBuckets hunters_;
  RateBuckets tokens_;
  RateBuckets hunts_;
};

}  // namespace huntd::server
