// SPDX-License-Identifier: Apache-2.0
// The secrets that authenticate callers, read from their files (docs/configuration.md, [auth]).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "auth/jwt.h"
#include "auth/revoked.h"
#include "base/result.h"
#include "config/config.h"

namespace huntd {

// How callers authenticate: config key auth.mode.
enum class AuthMode : uint8_t {
  none,    // they do not
  bearer,  // with a token of auth.tokens_file, which may act for every hunter
  hunter,  // with a token signed by a key of auth.hunter_keys_file, which acts for its hunter only
  jwt,     // with a JSON Web Token signed by a key of auth.jwks_file, which does the same
};

// What a JSON Web Token must have: the config keys auth.jwt_*.
struct JwtRules {
  std::string issuer;    // empty: any
  std::string audience;  // empty: any
  uint32_t leeway_s = 0;
  uint32_t cache_tokens = 0;
  uint32_t cache_s = 0;
};

struct Secrets {
  AuthMode mode = AuthMode::none;
  // Tokens, or signing keys with their ids (SigningKey). The first key signs; signatures of all keys
  // are accepted.
  std::vector<std::string> texts;
  std::vector<JwtKey> jwt_keys{};
  JwtRules jwt{};
  Revoked revoked{};
};

// Reads the file that auth.mode needs. The error names config key, file and line, never a secret.
Result<Secrets> load_secrets(const Config& config);

// Whether the secrets of a file may have names.
enum class SecretNames : uint8_t { none, allowed };

// Reads a file with one secret per line, of visible ASCII characters; with `allowed`, the secret may
// come after an id that no other has, and a space. Empty lines and lines that start with # are
// ignored. Rejects a file that is world-readable or world-writable (base/private_file.h). `key` is
// the config key, for errors.
Result<std::vector<std::string>> read_secrets_file(const std::string& path, const char* key,
                                                   SecretNames names = SecretNames::none);

}  // namespace huntd
