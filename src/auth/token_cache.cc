// SPDX-License-Identifier: Apache-2.0
#include "auth/token_cache.h"

#include <openssl/evp.h>

#include <utility>

#include "base/check.h"

namespace huntd {

TokenCache::Digest TokenCache::digest_of(std::string_view token) {
  Digest digest;
  CHECK(EVP_Digest(token.data(), token.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return digest;
}

const JwtClaims* TokenCache::find(std::string_view token, int64_t wall_ms) const {
  if (entries_.empty()) return nullptr;
  auto const found = entries_.find(digest_of(token));
  if (found == entries_.end()) return nullptr;
  // A clock that went back says nothing of the age.
  int64_t const age_ms = wall_ms - found->second.verified_at_ms;
  return age_ms >= 0 && age_ms < lifetime_ms_ ? &found->second.claims : nullptr;
}

void TokenCache::add(std::string_view token, JwtClaims claims, int64_t wall_ms) {
  if (tokens_max_ == 0) return;
  Digest const digest = digest_of(token);
  auto const [entry, is_new] = entries_.try_emplace(digest);
  entry->second = {std::move(claims), wall_ms};
  if (!is_new) return;
  oldest_first_.push_back(digest);
  if (entries_.size() <= tokens_max_) return;
  entries_.erase(oldest_first_.front());
  oldest_first_.pop_front();
}

}  // namespace huntd
