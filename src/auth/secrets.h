// The secrets that say who may call, as their files hold them (docs/configuration.md, [auth]).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/result.h"

namespace huntd {

// How a caller shows who it is.
enum class AuthMode : uint8_t {
  none,    // not at all
  bearer,  // one of the tokens of auth.tokens_file: may act for every hunter
  hunter,  // a token signed with one of the keys of auth.hunter_keys_file: acts for its hunter only
};

struct Secrets {
  AuthMode mode = AuthMode::none;
  std::vector<std::string> texts;  // tokens or keys; of keys the first one signs, all are accepted
};

// Reads what the config's auth.mode wants. The error names key, file and line, never a secret.
Result<Secrets> load_secrets(const Config& config);

// One secret a line, of visible ASCII characters; empty lines and those that begin with # are
// passed over. A file that everybody may read or write is refused. `key` is the config's, for
// errors.
Result<std::vector<std::string>> read_secrets_file(const std::string& path, const char* key);

}  // namespace huntd
