// SPDX-License-Identifier: Apache-2.0
#include "auth/secrets.h"

#include <fmt/format.h>

#include <sstream>

#include "base/ids.h"
#include "base/limits.h"
#include "base/private_file.h"

namespace huntd {

Result<std::vector<std::string>> read_secrets_file(const std::string& path, const char* key) {
  Result<std::string> const text = read_private_file(path, key, PrivateFile::regular);
  if (!text) return text.error();
  std::istringstream file(*text);
  std::vector<std::string> secrets;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with('#')) continue;
    if (line.size() < limits::secret_bytes_min || line.size() > limits::secret_bytes_max ||
        !is_visible_ascii(line))
      return Error{fmt::format("{}: {}:{}: a secret must be {} to {} visible ASCII characters", key,
                               path, number, limits::secret_bytes_min, limits::secret_bytes_max)};
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
  bool const bearer = config.auth.mode == "bearer";
  secrets.mode = bearer ? AuthMode::bearer : AuthMode::hunter;
  Result<std::vector<std::string>> texts =
      bearer ? read_secrets_file(config.auth.tokens_file, "auth.tokens_file")
             : read_secrets_file(config.auth.hunter_keys_file, "auth.hunter_keys_file");
  if (!texts) return texts.error();
  secrets.texts = std::move(*texts);
  return secrets;
}

}  // namespace huntd
