// SPDX-License-Identifier: Apache-2.0
// Checks the Authorization header of a request. Tokens and signatures are compared in constant
// time. No I/O.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/hunter_token.h"
#include "auth/jwt.h"
#include "auth/revoked.h"
#include "auth/secrets.h"
#include "auth/token_cache.h"
#include "base/limits.h"

namespace huntd {

class Authenticator {
 public:
  explicit Authenticator(const Secrets& secrets);

  enum class Outcome : uint8_t {
    allowed,
    no_token,   // no header, or another scheme than Bearer
    bad_token,  // malformed, unknown, with a wrong signature, or for another audience
    expired,    // a hunter's token that was valid, after its expiry
    too_early,  // one that will be valid
    revoked,    // one that is on the list of auth.revoked_file
    forbidden,  // the valid token of another hunter
    scope,      // a valid token that does not name the hunt
  };
  // Whether a request may act for `hunter_id` in `hunt_id` (empty: it acts for no hunter, or in no
  // hunt). `authorization` is the value of the header, empty if there is none; `wall_ms` the time
  // since the Unix epoch.
  Outcome check(std::string_view authorization, std::string_view hunter_id, int64_t wall_ms,
                std::string_view hunt_id = {});
  // Whether a request may act for all hunters. A valid hunter's token is forbidden.
  Outcome check_for_all(std::string_view authorization, int64_t wall_ms);
  // The token of an allowed request; empty if callers do not authenticate.
  std::string_view token_of(std::string_view authorization) const;

  // Whether the check of this request has to wait for the next tick, because it verifies a signature
  // and limits::jwt_verified_per_tick_max were verified in this one. Call it before each check, with
  // the time of the tick.
  bool must_wait(std::string_view authorization, int64_t wall_ms, uint64_t tick_ns);

  // What check() did with JSON Web Tokens since the last call.
  struct Counts {
    uint64_t verified = 0;    // signatures, good or not
    uint64_t remembered = 0;  // tokens that need not be verified again
  };
  Counts take_counts() { return std::exchange(counts_, Counts()); }

 private:
  // A token padded with zeros, so that every comparison takes the same time.
  using Padded = std::array<char, limits::secret_bytes_max>;

  bool is_known(std::string_view token) const;
  Outcome check_hunter(std::string_view text, std::string_view hunter_id, int64_t wall_ms) const;
  Outcome check_jwt(std::string_view text, std::string_view hunter_id, std::string_view hunt_id,
                    int64_t wall_ms);
  bool is_signed(const Jwt& token) const;
  bool fits_rules(const JwtClaims& claims) const;
  Outcome check_claims(const JwtClaims& claims, std::string_view hunter_id,
                       std::string_view hunt_id, int64_t wall_ms) const;

  AuthMode mode_;
  std::vector<Padded> tokens_;
  std::vector<SigningKey> keys_;
  std::vector<JwtVerifier> jwt_keys_;
  JwtRules rules_;
  Revoked revoked_;
  TokenCache cache_;
  Counts counts_;
  uint64_t tick_ns_ = 0;
  unsigned verified_in_tick_ = 0;
};

}  // namespace huntd
