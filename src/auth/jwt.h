// SPDX-License-Identifier: Apache-2.0
// JSON Web Tokens (RFC 7519) in the compact form of RFC 7515: HEADER.CLAIMS.SIGNATURE. What a login
// service signs, and what huntd reads of it (docs/formats/jwt.md).
#pragma once
#include <openssl/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd {

// How a token is signed. Each belongs to one kind of public key, so a token cannot choose another
// one for a key.
enum class JwtAlgorithm : uint8_t { rs256, es256, eddsa };

// A public key of auth.jwks_file.
struct JwtKey {
  std::string id;  // "kid"; empty: it has none, and is the only key
  JwtAlgorithm algorithm = JwtAlgorithm::rs256;
  std::string der;  // SubjectPublicKeyInfo (RFC 5280)
};

// The claims that huntd reads. Not authentic until the signature is verified.
struct JwtClaims {
  std::string hunter_id;  // "sub"
  std::string token_id;   // "jti"; empty: none
  std::string issuer;     // "iss"; empty: none
  std::vector<std::string> audiences;
  int64_t expires_at_s = 0;  // since the Unix epoch
  int64_t not_before_s = 0;
  bool every_hunt = true;          // the token names no hunts
  std::vector<std::string> hunts;  // else those that it may play; at most limits::jwt_hunts_max
};

struct Jwt {
  JwtAlgorithm algorithm = JwtAlgorithm::rs256;
  std::string key_id;            // "kid"; empty: none
  std::string_view signed_text;  // what the signature covers; views the token
  std::string signature;         // bytes
  JwtClaims claims;
};

// Reads a token of at most limits::jwt_bytes_max. Returns nothing if it is not one, if it asks for
// what huntd does not do ("crit", another "alg" or "typ"), if a name occurs twice in its header or
// in its claims, or if "sub" or "exp" is missing. Does no cryptography.
std::optional<Jwt> read_jwt(std::string_view token);

// Reads a JWK set (RFC 7517): at most limits::secrets_max keys that huntd can use, of which there
// must be one. Keys for other uses and algorithms are left out. The error names the key by its
// place, from 1 on, and not the file.
Result<std::vector<JwtKey>> read_jwks(std::string_view json);

// Verifies signatures of one key.
class JwtVerifier {
 public:
  // REQUIRES: `key` is of read_jwks().
  explicit JwtVerifier(const JwtKey& key);
  const std::string& id() const { return id_; }
  // Whether the key has signed the token, with the key's own algorithm.
  bool verify(const Jwt& token) const;

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const;
  };
  std::string id_;
  JwtAlgorithm algorithm_;
  std::unique_ptr<EVP_PKEY, Free> key_;
};

}  // namespace huntd
