// SPDX-License-Identifier: Apache-2.0
// The tokens whose signature a core has verified, so that it need not do it for each request. Of
// bounded size and lifetime: what does not fit any more is dropped, the oldest first.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string_view>
#include <unordered_map>

#include "auth/jwt.h"

namespace huntd {

class TokenCache {
 public:
  // At most `tokens_max` tokens (0: none), each for `lifetime_ms`. An entry takes some 300 bytes.
  TokenCache(size_t tokens_max, int64_t lifetime_ms)
      : tokens_max_(tokens_max), lifetime_ms_(lifetime_ms) {}

  // The claims of a token that was verified at most `lifetime_ms` ago, by the clock `wall_ms`; else
  // null. They are valid until the next call of add().
  const JwtClaims* find(std::string_view token, int64_t wall_ms) const;
  // Remembers a verified token.
  void add(std::string_view token, JwtClaims claims, int64_t wall_ms);
  size_t size() const { return entries_.size(); }

 private:
  // SHA-256: of two tokens with one digest, the second would pass for the first.
  using Digest = std::array<unsigned char, 32>;
  struct Hash {
    size_t operator()(const Digest& digest) const {
      size_t first = 0;
      std::memcpy(&first, digest.data(), sizeof first);
      return first;
    }
  };
  struct Entry {
    JwtClaims claims;
    int64_t verified_at_ms = 0;
  };
  static Digest digest_of(std::string_view token);

  size_t tokens_max_;
  int64_t lifetime_ms_;
  std::unordered_map<Digest, Entry, Hash> entries_;
  std::deque<Digest> oldest_first_;
};

}  // namespace huntd
