// SPDX-License-Identifier: Apache-2.0
#include "auth/authenticator.h"

#include <openssl/crypto.h>

#include <algorithm>

namespace huntd {
namespace {

constexpr int64_t ms_per_s = 1000;

// The token of "Bearer TOKEN" (RFC 6750 section 2.1); empty if there is none. The scheme is
// case-insensitive (RFC 9110 section 11.1).
std::string_view bearer_token(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer";
  if (authorization.size() <= scheme.size() || authorization[scheme.size()] != ' ') return {};
  for (size_t i = 0; i < scheme.size(); ++i)
    if ((authorization[i] | 0x20) != scheme[i]) return {};
  authorization.remove_prefix(
      std::min(authorization.find_first_not_of(' ', scheme.size()), authorization.size()));
  return authorization;
}

}  // namespace

Authenticator::Authenticator(const Secrets& secrets)
    : mode_(secrets.mode),
      rules_(secrets.jwt),
      revoked_(secrets.revoked),
      cache_(secrets.jwt.cache_tokens, secrets.jwt.cache_s * ms_per_s) {
  for (const JwtKey& key : secrets.jwt_keys) jwt_keys_.emplace_back(key);
  for (const std::string& text : secrets.texts) {
    if (mode_ == AuthMode::hunter) keys_.emplace_back(text);
    if (mode_ != AuthMode::bearer) continue;
    Padded& padded = tokens_.emplace_back();
    std::copy(text.begin(), text.end(), padded.begin());
  }
}

std::string_view Authenticator::token_of(std::string_view authorization) const {
  return mode_ == AuthMode::none ? std::string_view() : bearer_token(authorization);
}

bool Authenticator::is_known(std::string_view token) const {
  Padded padded{};
  if (token.size() > padded.size() || token.find('\0') != std::string_view::npos) return false;
  std::copy(token.begin(), token.end(), padded.begin());
  int same = 0;
  // Compare with all tokens, so that the time does not reveal which one matched.
  for (const Padded& known : tokens_)
    same |= CRYPTO_memcmp(known.data(), padded.data(), padded.size()) == 0;
  return same != 0;
}

Authenticator::Outcome Authenticator::check_hunter(std::string_view text,
                                                   std::string_view hunter_id,
                                                   int64_t wall_ms) const {
  std::optional<HunterToken> const token = read_hunter_token(text);
  if (!token) return Outcome::bad_token;
  int good = 0;
  // A token that names its key costs one signature; another one a signature for each key without a
  // name.
  for (const SigningKey& key : keys_) {
    if (key.id() != token->key_id) continue;
    SigningKey::Signature const signature = key.sign(token->signed_text);
    good |= CRYPTO_memcmp(signature.data(), token->signature.data(), signature.size()) == 0;
  }
  if (good == 0) return Outcome::bad_token;
  // Only now the content of the token is authentic.
  if (wall_ms / ms_per_s >= token->expires_at_s) return Outcome::expired;
  if (revoked_.has_token(token->signature) || revoked_.has_hunter(token->hunter_id))
    return Outcome::revoked;
  return hunter_id.empty() || hunter_id == token->hunter_id ? Outcome::allowed : Outcome::forbidden;
}

bool Authenticator::is_signed(const Jwt& token) const {
  // Without a "kid" only a key alone can be meant.
  if (token.key_id.empty() && jwt_keys_.size() != 1) return false;
  for (const JwtVerifier& key : jwt_keys_)
    if (token.key_id.empty() || token.key_id == key.id()) return key.verify(token);
  return false;
}

bool Authenticator::fits_rules(const JwtClaims& claims) const {
  if (!rules_.issuer.empty() && claims.issuer != rules_.issuer) return false;
  return rules_.audience.empty() ||
         std::ranges::find(claims.audiences, rules_.audience) != claims.audiences.end();
}

// REQUIRES: the claims are authentic, and fit the rules.
Authenticator::Outcome Authenticator::check_claims(const JwtClaims& claims,
                                                   std::string_view hunter_id,
                                                   std::string_view hunt_id,
                                                   int64_t wall_ms) const {
  int64_t const now_s = wall_ms / ms_per_s;
  if (now_s >= claims.expires_at_s + rules_.leeway_s) return Outcome::expired;
  if (now_s + rules_.leeway_s < claims.not_before_s) return Outcome::too_early;
  if (revoked_.has_token(claims.token_id) || revoked_.has_hunter(claims.hunter_id))
    return Outcome::revoked;
  if (!hunter_id.empty() && hunter_id != claims.hunter_id) return Outcome::forbidden;
  bool const may_play = hunt_id.empty() || claims.every_hunt ||
                        std::ranges::find(claims.hunts, hunt_id) != claims.hunts.end();
  return may_play ? Outcome::allowed : Outcome::scope;
}

Authenticator::Outcome Authenticator::check_jwt(std::string_view text, std::string_view hunter_id,
                                                std::string_view hunt_id, int64_t wall_ms) {
  if (const JwtClaims* const known = cache_.find(text, wall_ms); known != nullptr) {
    ++counts_.remembered;
    return check_claims(*known, hunter_id, hunt_id, wall_ms);
  }
  std::optional<Jwt> token = read_jwt(text);
  // What would be rejected in any case costs no signature.
  if (!token || !fits_rules(token->claims)) return Outcome::bad_token;
  ++counts_.verified;
  ++verified_in_tick_;
  if (!is_signed(*token)) return Outcome::bad_token;
  Outcome const outcome = check_claims(token->claims, hunter_id, hunt_id, wall_ms);
  bool const lasts = outcome != Outcome::expired && outcome != Outcome::revoked;
  if (lasts) cache_.add(text, std::move(token->claims), wall_ms);
  return outcome;
}

bool Authenticator::must_wait(std::string_view authorization, int64_t wall_ms, uint64_t tick_ns) {
  if (mode_ != AuthMode::jwt) return false;
  if (std::exchange(tick_ns_, tick_ns) != tick_ns) verified_in_tick_ = 0;
  return verified_in_tick_ >= limits::jwt_verified_per_tick_max &&
         cache_.find(bearer_token(authorization), wall_ms) == nullptr;
}

Authenticator::Outcome Authenticator::check(std::string_view authorization,
                                            std::string_view hunter_id, int64_t wall_ms,
                                            std::string_view hunt_id) {
  if (mode_ == AuthMode::none) return Outcome::allowed;
  std::string_view const token = bearer_token(authorization);
  if (token.empty()) return Outcome::no_token;
  if (mode_ == AuthMode::hunter) return check_hunter(token, hunter_id, wall_ms);
  if (mode_ == AuthMode::jwt) return check_jwt(token, hunter_id, hunt_id, wall_ms);
  return is_known(token) ? Outcome::allowed : Outcome::bad_token;
}

Authenticator::Outcome Authenticator::check_for_all(std::string_view authorization,
                                                    int64_t wall_ms) {
  Outcome const outcome = check(authorization, {}, wall_ms);
  bool const of_a_hunter = mode_ == AuthMode::hunter || mode_ == AuthMode::jwt;
  return outcome == Outcome::allowed && of_a_hunter ? Outcome::forbidden : outcome;
}

}  // namespace huntd
