// SPDX-License-Identifier: Apache-2.0
// A token that lets its bearer act as one hunter: hunter1.HUNTER_ID.EXPIRES_AT_S.SIGNATURE, or
// hunter2.KEY_ID.HUNTER_ID.EXPIRES_AT_S.SIGNATURE (docs/formats/hunter-token.md). The signature is
// HMAC-SHA256 (RFC 2104) of the text before the last dot, in base64url without padding (RFC 4648
// section 5).
#pragma once
#include <openssl/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace huntd {

// The parts of a token, as views of its text. Not authentic until the signature is checked.
struct HunterToken {
  std::string_view key_id;  // empty: the token names no key (hunter1)
  std::string_view hunter_id;
  int64_t expires_at_s = 0;      // since the Unix epoch; from then on the token is expired
  std::string_view signed_text;  // what the signature covers
  std::string_view signature;
};

// Splits a token. Returns nothing if the text is not a token. Pure.
std::optional<HunterToken> read_hunter_token(std::string_view text);

// True for the name of a signing key: 1 to 64 of A-Z a-z 0-9 _ -, without dots.
bool is_key_id(std::string_view text);

// A signing key.
class SigningKey {
 public:
  static constexpr size_t signature_bytes = 43;
  using Signature = std::array<char, signature_bytes>;

  // `line`: "KEY", or "KEY_ID KEY", as a line of auth.hunter_keys_file.
  explicit SigningKey(std::string_view line);
  const std::string& id() const { return id_; }  // empty: it has none
  Signature sign(std::string_view text) const;

 private:
  struct Free {
    void operator()(EVP_MAC_CTX* context) const;
  };
  std::string id_;
  std::unique_ptr<EVP_MAC_CTX, Free> context_;
};

// A token that names the key, if the key has an id.
std::string make_hunter_token(const SigningKey& key, std::string_view hunter_id,
                              int64_t expires_at_s);

}  // namespace huntd
