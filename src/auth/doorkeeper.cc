#include "auth/doorkeeper.h"

#include <openssl/crypto.h>

#include <algorithm>

namespace huntd {
namespace {

constexpr int64_t ms_per_s = 1000;

// The token of "Bearer TOKEN" (RFC 6750 section 2.1; the scheme has no case, RFC 9110
// section 11.1); empty where there is none.
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

Doorkeeper::Doorkeeper(const Secrets& secrets) : mode_(secrets.mode) {
  for (const std::string& text : secrets.texts) {
    if (mode_ == AuthMode::hunter) keys_.emplace_back(text);
    if (mode_ != AuthMode::bearer) continue;
    Padded& padded = tokens_.emplace_back();
    std::copy(text.begin(), text.end(), padded.begin());
  }
}

bool Doorkeeper::knows(std::string_view token) const {
  Padded padded{};
  if (token.size() > padded.size() || token.find('\0') != std::string_view::npos) return false;
  std::copy(token.begin(), token.end(), padded.begin());
  int same = 0;
  // All are compared, so that the time does not tell which one it was.
  for (const Padded& known : tokens_)
    same |= CRYPTO_memcmp(known.data(), padded.data(), padded.size()) == 0;
  return same != 0;
}

Doorkeeper::Verdict Doorkeeper::check_hunter(std::string_view text, std::string_view hunter_id,
                                             int64_t wall_ms) const {
  std::optional<HunterToken> const token = read_hunter_token(text);
  if (!token) return Verdict::bad_token;
  int good = 0;
  for (const SigningKey& key : keys_) {
    SigningKey::Signature const signature = key.sign(token->said);
    good |= CRYPTO_memcmp(signature.data(), token->signature.data(), signature.size()) == 0;
  }
  // What the text says counts only from here on.
  if (good == 0) return Verdict::bad_token;
  if (wall_ms / ms_per_s >= token->expires_at_s) return Verdict::expired;
  return hunter_id.empty() || hunter_id == token->hunter_id ? Verdict::welcome
                                                            : Verdict::other_hunter;
}

Doorkeeper::Verdict Doorkeeper::check(std::string_view authorization, std::string_view hunter_id,
                                      int64_t wall_ms) const {
  if (mode_ == AuthMode::none) return Verdict::welcome;
  std::string_view const token = bearer_token(authorization);
  if (token.empty()) return Verdict::no_token;
  if (mode_ == AuthMode::hunter) return check_hunter(token, hunter_id, wall_ms);
  return knows(token) ? Verdict::welcome : Verdict::bad_token;
}

Doorkeeper::Verdict Doorkeeper::check_for_all(std::string_view authorization,
                                              int64_t wall_ms) const {
  Verdict const verdict = check(authorization, {}, wall_ms);
  return verdict == Verdict::welcome && mode_ == AuthMode::hunter ? Verdict::other_hunter : verdict;
}

}  // namespace huntd
