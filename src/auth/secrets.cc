// SPDX-License-Identifier: Apache-2.0
#include "auth/secrets.h"

#include <fmt/format.h>

#include <sstream>
#include <string_view>

#include "auth/hunter_token.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/private_file.h"

namespace huntd {

namespace {

bool is_secret(std::string_view text) {
  return text.size() >= limits::secret_bytes_min && text.size() <= limits::secret_bytes_max &&
         is_visible_ascii(text);
}

// What is wrong with a line; empty if nothing is. `others`: the lines before it.
std::string fault_of(std::string_view line, SecretNames names,
                     const std::vector<std::string>& others) {
  size_t const space = names == SecretNames::allowed ? line.find(' ') : std::string_view::npos;
  std::string const form = fmt::format("a secret must be {} to {} visible ASCII characters",
                                       limits::secret_bytes_min, limits::secret_bytes_max);
  if (space == std::string_view::npos) return is_secret(line) ? "" : form;
  if (!is_key_id(line.substr(0, space)))
    return fmt::format("the id of a key must be 1 to {} of A-Z a-z 0-9 _ -", limits::id_bytes_max);
  if (!is_secret(line.substr(space + 1))) return form;
  std::string_view const with_space = line.substr(0, space + 1);
  for (const std::string& other : others)
    if (other.starts_with(with_space)) return "another key has this id";
  return "";
}

Result<void> load_jwt(const Config& config, Secrets& secrets) {
  constexpr const char* key = "auth.jwks_file";
  const std::string& path = config.auth.jwks_file;
  Result<std::string> const text = read_private_file(path, key, PrivateFile::readable_by_all);
  if (!text) return text.error();
  Result<std::vector<JwtKey>> keys = read_jwks(*text);
  if (!keys) return Error{fmt::format("{}: {}: {}", key, path, keys.error().message)};
  secrets.jwt_keys = std::move(*keys);
  secrets.jwt = {config.auth.jwt_issuer, config.auth.jwt_audience, config.auth.jwt_leeway_s,
                 config.auth.jwt_cache_tokens, config.auth.jwt_cache_s};
  return {};
}

Result<void> load_revoked(const Config& config, Secrets& secrets) {
  constexpr const char* key = "auth.revoked_file";
  const std::string& path = config.auth.revoked_file;
  if (path.empty()) return {};
  Result<std::string> const text = read_private_file(path, key, PrivateFile::readable_by_all);
  if (!text) return text.error();
  Result<Revoked> revoked = read_revoked(*text);
  if (!revoked) return Error{fmt::format("{}: {}: {}", key, path, revoked.error().message)};
  secrets.revoked = std::move(*revoked);
  return {};
}

}  // namespace

Result<std::vector<std::string>> read_secrets_file(const std::string& path, const char* key,
                                                   SecretNames names) {
  Result<std::string> const text = read_private_file(path, key, PrivateFile::regular);
  if (!text) return text.error();
  std::istringstream file(*text);
  std::vector<std::string> secrets;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with('#')) continue;
    if (std::string const fault = fault_of(line, names, secrets); !fault.empty())
      return Error{fmt::format("{}: {}:{}: {}", key, path, number, fault)};
    if (secrets.size() == limits::secrets_max)
      return Error{
          fmt::format("{}: {}:{}: more than {} secrets", key, path, number, limits::secrets_max)};
    secrets.push_back(line);
  }
  if (secrets.empty())
    return Error{fmt::format(
        "{}: {} has no secret: write one per line, for example from `openssl rand -base64 32`", key,
        path)};
  return secrets;
}

Result<Secrets> load_secrets(const Config& config) {
  Secrets secrets;
  if (config.auth.mode == "none") return secrets;
  if (config.auth.mode == "jwt") {
    secrets.mode = AuthMode::jwt;
    if (Result<void> loaded = load_jwt(config, secrets); !loaded) return loaded.error();
  } else {
    bool const bearer = config.auth.mode == "bearer";
    secrets.mode = bearer ? AuthMode::bearer : AuthMode::hunter;
    Result<std::vector<std::string>> texts =
        bearer ? read_secrets_file(config.auth.tokens_file, "auth.tokens_file")
               : read_secrets_file(config.auth.hunter_keys_file, "auth.hunter_keys_file",
                                   SecretNames::allowed);
    if (!texts) return texts.error();
    secrets.texts = std::move(*texts);
  }
  if (Result<void> loaded = load_revoked(config, secrets); !loaded) return loaded.error();
  return secrets;
}

}  // namespace huntd
