// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/rate_limit.h"

#include <algorithm>

#include "base/clock.h"
#include "base/hash.h"

namespace huntd::server {
namespace {

constexpr uint64_t minute_ns = 60 * ns_per_s;

}  // namespace

Rate rate_of(uint32_t per_minute, uint32_t burst, uint32_t cores) {
  if (per_minute == 0) return {};
  // A bucket that holds less than one request would never let any through.
  return {std::max<uint64_t>(minute_ns * cores / per_minute, 1), std::max(burst / cores, 1U)};
}

uint64_t RateBuckets::key_of(std::string_view name) const {
  PoolString text(reinterpret_cast<const char*>(&secret_), sizeof secret_);
  text.append(name);
  return hash64(text);
}

uint64_t RateBuckets::full_at_ns(uint64_t key) const {
  if (auto const found = newer_.find(key); found != newer_.end()) return found->second;
  auto const found = older_.find(key);
  return found == older_.end() ? 0 : found->second;
}

// The generic cell rate algorithm (ITU-T I.371): one time per bucket.
uint64_t RateBuckets::wait_ns(std::string_view name, uint64_t now_ns) const {
  if (!bounded()) return 0;
  uint64_t const empty_ns = (rate_.burst - 1) * rate_.period_ns;
  uint64_t const full_at = full_at_ns(key_of(name));
  return full_at <= now_ns + empty_ns ? 0 : full_at - now_ns - empty_ns;
}

void RateBuckets::take(std::string_view name, uint64_t now_ns) {
  if (!bounded()) return;
  uint64_t const key = key_of(name);
  uint64_t const full_at = std::max(full_at_ns(key), now_ns) + rate_.period_ns;
  if (newer_.size() >= generation_max_ && !newer_.contains(key)) {
    older_ = std::move(newer_);
    newer_.clear();
  }
  newer_[key] = full_at;
}

std::optional<std::pair<RateLimit, uint64_t>> RateLimits::take(std::string_view hunter_id,
                                                               std::string_view token,
                                                               std::string_view hunt_id,
                                                               uint64_t now_ns) {
  if (uint64_t const wait = hunters_.wait_ns(hunter_id, now_ns); wait > 0)
    return std::pair(RateLimit::hunter, wait);
  if (uint64_t const wait = token.empty() ? 0 : tokens_.wait_ns(token, now_ns); wait > 0)
    return std::pair(RateLimit::token, wait);
  if (uint64_t const wait = hunts_.wait_ns(hunt_id, now_ns); wait > 0)
    return std::pair(RateLimit::hunt, wait);
  hunters_.take(hunter_id, now_ns);
  if (!token.empty()) tokens_.take(token, now_ns);
  hunts_.take(hunt_id, now_ns);
  return std::nullopt;
}

}  // namespace huntd::server
