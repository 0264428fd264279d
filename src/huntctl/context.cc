#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "huntctl/commands.h"

namespace huntd::huntctl {

Result<Config> Context::config() const {
  constexpr const char* packaged = "/etc/huntd/huntd.toml";
  if (!config_path.empty()) return load_config(config_path);
  if (access(packaged, R_OK) == 0) return load_config(packaged);
  return Config();
}

Result<std::map<std::string, std::string>> Context::token_headers() const {
  std::map<std::string, std::string> headers;
  if (token_file.empty()) return headers;
  std::ifstream file(token_file);
  std::string token;
  if (!std::getline(file, token) || token.empty())
    return Error{"--token-file: " + token_file + " has no first line to read"};
  headers["Authorization"] = "Bearer " + token;
  return headers;
}

int fail(const std::string& message) {
  std::fprintf(stderr, "huntctl: %s\n", message.c_str());
  return exit_failure;
}

}  // namespace huntd::huntctl
