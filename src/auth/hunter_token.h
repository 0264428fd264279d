// The token by which a game client acts as one hunter: hunter1.HUNTER_ID.EXPIRES_AT_S.SIGNATURE
// (docs/formats/hunter-token.md). The signature is HMAC-SHA256 (RFC 2104) of all that stands before
// its dot, in base64url without padding (RFC 4648 section 5).
#pragma once
#include <openssl/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace huntd {

// What a token says. Views into its text; true only once a key has signed it.
struct HunterToken {
  std::string_view hunter_id;
  int64_t expires_at_s = 0;  // since the epoch; it is no longer good then
  std::string_view said;     // what is signed
  std::string_view signature;
};

// Nothing where the text is no token. Pure.
std::optional<HunterToken> read_hunter_token(std::string_view text);

// A key, ready to sign.
class SigningKey {
 public:
  static constexpr size_t signature_bytes = 43;
  using Signature = std::array<char, signature_bytes>;

  explicit SigningKey(std::string_view key);
  Signature sign(std::string_view said) const;

 private:
  struct Free {
    void operator()(EVP_MAC_CTX* context) const;
  };
  std::unique_ptr<EVP_MAC_CTX, Free> context_;
};

std::string make_hunter_token(const SigningKey& key, std::string_view hunter_id,
                              int64_t expires_at_s);

}  // namespace huntd
