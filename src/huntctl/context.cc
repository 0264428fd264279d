#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/private_file.h"
#include "huntctl/commands.h"
#include "huntctl/http_call.h"

namespace huntd::huntctl {

Result<Config> Context::config() const {
  constexpr const char* packaged = "/etc/huntd/huntd.toml";
  if (!config_path.empty()) return load_config(config_path);
  if (access(packaged, R_OK) == 0) return load_config(packaged);
  return Config();
}

Result<PublicPort> Context::public_port(const std::string& http) const {
  PublicPort port{http, {}};
  if (http.empty()) {
    Result<Config> const config = this->config();
    if (!config) return config.error();
    port.address = callable_address(config->http.listen);
  }
  if (token_file.empty()) return port;
  Result<std::string> const text =
      read_private_file(token_file, "--token-file", PrivateFile::regular_or_pipe);
  if (!text) return text.error();
  std::string const token = text->substr(0, text->find_first_of("\r\n"));
  if (token.empty()) return Error{"--token-file: " + token_file + " has no first line to read"};
  port.headers["Authorization"] = "Bearer " + token;
  return port;
}

int fail(const std::string& message) {
  std::fprintf(stderr, "huntctl: %s\n", message.c_str());
  return exit_failure;
}

}  // namespace huntd::huntctl
