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

Authenticator::Authenticator(const Secrets& secrets) : mode_(secrets.mode) {
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
  for (const SigningKey& key : keys_) {
    SigningKey::Signature const signature = key.sign(token->signed_text);
    good |= CRYPTO_memcmp(signature.data(), token->signature.data(), signature.size()) == 0;
  }
  if (good == 0) return Outcome::bad_token;
  // Only now the content of the token is authentic.
  if (wall_ms / ms_per_s >= token->expires_at_s) return Outcome::expired;
  return hunter_id.empty() || hunter_id == token->hunter_id ? Outcome::allowed : Outcome::forbidden;
}

Authenticator::Outcome Authenticator::check(std::string_view authorization,
                                            std::string_view hunter_id, int64_t wall_ms) const {
  if (mode_ == AuthMode::none) return Outcome::allowed;
  std::string_view const token = bearer_token(authorization);
  if (token.empty()) return Outcome::no_token;
  if (mode_ == AuthMode::hunter) return check_hunter(token, hunter_id, wall_ms);
  return is_known(token) ? Outcome::allowed : Outcome::bad_token;
}

Authenticator::Outcome Authenticator::check_for_all(std::string_view authorization,
                                                    int64_t wall_ms) const {
  Outcome const outcome = check(authorization, {}, wall_ms);
  return outcome == Outcome::allowed && mode_ == AuthMode::hunter ? Outcome::forbidden : outcome;
}

}  // namespace huntd
