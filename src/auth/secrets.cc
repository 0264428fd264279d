#include "auth/secrets.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/ids.h"
#include "base/limits.h"

namespace huntd {
Result<std::vector<std::string>> read_secrets_file(const std::string& path, const char* key) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0)
    return Error{fmt::format("{}: {}: {}", key, path, std::strerror(errno))};
  if (!S_ISREG(status.st_mode)) return Error{fmt::format("{}: {} is no file", key, path)};
  if ((status.st_mode & (S_IROTH | S_IWOTH)) != 0)
    return Error{fmt::format(
        "{}: everybody may read or write {}: chmod o-rw it, and make new secrets", key, path)};
  std::ifstream file(path);
  if (!file) return Error{fmt::format("{}: {} can't be read: {}", key, path, std::strerror(errno))};
  std::vector<std::string> secrets;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with('#')) continue;
    if (line.size() < limits::secret_bytes_min || line.size() > limits::secret_bytes_max ||
        !is_visible_ascii(line))
      return Error{fmt::format("{}: {}:{}: a secret is {} to {} visible ASCII characters", key,
                               path, number, limits::secret_bytes_min, limits::secret_bytes_max)};
    if (secrets.size() == limits::secrets_max)
      return Error{fmt::format("{}: {}:{}: there may be {} secrets", key, path, number,
                               limits::secrets_max)};
    secrets.push_back(line);
  }
  if (file.bad()) return Error{fmt::format("{}: {} can't be read", key, path)};
  if (secrets.empty())
    return Error{fmt::format(
        "{}: {} holds no secret: write one a line, say of `openssl rand -base64 32`", key, path)};
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
