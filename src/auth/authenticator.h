// SPDX-License-Identifier: Apache-2.0
// Checks the Authorization header of a request. Tokens and signatures are compared in constant
// time. No I/O.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "auth/hunter_token.h"
#include "auth/secrets.h"
#include "base/limits.h"

namespace huntd {

class Authenticator {
 public:
  explicit Authenticator(const Secrets& secrets);

  enum class Outcome : uint8_t {
    allowed,
    no_token,   // no header, or another scheme than Bearer
    bad_token,  // malformed, unknown, or with a wrong signature
    expired,    // a valid hunter's token after its expiry
    forbidden,  // the valid token of another hunter
  };
  // Whether a request may act for `hunter_id` (empty: it acts for no hunter). `authorization` is
  // the value of the header, empty if there is none; `wall_ms` the time since the Unix epoch.
  Outcome check(std::string_view authorization, std::string_view hunter_id, int64_t wall_ms) const;
  // Whether a request may act for all hunters. A valid hunter's token is forbidden.
  Outcome check_for_all(std::string_view authorization, int64_t wall_ms) const;
  // The token of an allowed request; empty if callers do not authenticate.
  std::string_view token_of(std::string_view authorization) const;

 private:
  // A token padded with zeros, so that every comparison takes the same time.
  using Padded = std::array<char, limits::secret_bytes_max>;

  bool is_known(std::string_view token) const;
  Outcome check_hunter(std::string_view text, std::string_view hunter_id, int64_t wall_ms) const;

  AuthMode mode_;
  std::vector<Padded> tokens_;
  std::vector<SigningKey> keys_;
};

}  // namespace huntd
