// SPDX-License-Identifier: Apache-2.0
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
  Result<std::string> const token =
      read_secret(token_file, "--token-file", PrivateFile::regular_or_pipe);
  if (!token) return token.error();
  port.headers["Authorization"] = "Bearer " + *token;
  return port;
}

Result<std::string> Context::admin_address(const std::string& admin) const {
  if (!admin.empty()) return admin;
  Result<Config> const config = this->config();
  if (!config) return config.error();
  return callable_address(config->admin.listen);
}

void add_http_option(CLI::App& command, std::string& http) {
  command.add_option("--http", http, "Public address, host:port (default: http.listen)");
}

void add_admin_option(CLI::App& command, std::string& admin) {
  command.add_option("--admin", admin, "Admin address, host:port (default: admin.listen)");
}

int fail(const std::string& message) {
  std::fprintf(stderr, "huntctl: %s\n", message.c_str());
  return exit_failure;
}

}  // namespace huntd::huntctl
