// SPDX-License-Identifier: Apache-2.0
// The secrets that authenticate callers, read from their files (docs/configuration.md, [auth]).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"

namespace huntd {

// How callers authenticate: config key auth.mode.
enum class AuthMode : uint8_t {
  none,    // they do not
  bearer,  // with a token of auth.tokens_file, which may act for every hunter
  hunter,  // with a token signed by a key of auth.hunter_keys_file, which acts for its hunter only
};

struct Secrets {
  AuthMode mode = AuthMode::none;
  // Tokens or signing keys. The first key signs; signatures of all keys are accepted.
  std::vector<std::string> texts;
};

// Reads the file that auth.mode needs. The error names config key, file and line, never a secret.
Result<Secrets> load_secrets(const Config& config);

// Reads a file with one secret per line, of visible ASCII characters. Empty lines and lines that
// start with # are ignored. Rejects a file that is world-readable or world-writable
// (base/private_file.h). `key` is the config key, for errors.
Result<std::vector<std::string>> read_secrets_file(const std::string& path, const char* key);

}  // namespace huntd
