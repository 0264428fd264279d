// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <string>
#include <vector>

#include "base/private_file.h"
#include "drivers/kafka_properties.h"
#include "huntctl/commands.h"
#include "huntctl/http_call.h"

namespace huntd::huntctl {

namespace {

// The first of the addresses that is not a unix socket, which the HTTP client does not know.
Result<std::string> tcp_address(const std::vector<std::string>& addresses) {
  for (const std::string& address : addresses)
    if (!address.starts_with("unix:")) return address;
  return Error{"http.listen has no host:port, which huntctl needs: add one, or give --http",
               ErrorKind::usage};
}

}  // namespace

Result<Config> Context::config() const {
  constexpr const char* packaged = "/etc/huntd/huntd.toml";
  std::string path = config_path;
  if (path.empty() && access(packaged, R_OK) == 0) path = packaged;
  if (path.empty()) return Config();
  Result<Config> config = load_config(path);
  if (!config) return Error{config.error().message, ErrorKind::usage};
  if (Result<void> checked = check_kafka_properties(*config); !checked)
    return Error{checked.error().message, ErrorKind::usage};
  return config;
}

Result<PublicPort> Context::public_port(const std::string& http) const {
  PublicPort port{http, {}};
  if (http.empty()) {
    Result<Config> const config = this->config();
    if (!config) return config.error();
    Result<std::string> const address = tcp_address(config->http.listen);
    if (!address) return address.error();
    port.address = callable_address(*address);
  }
  if (token_file.empty()) return port;
  Result<std::string> const token =
      read_secret(token_file, "--token-file", PrivateFile::regular_or_pipe);
  if (!token) return Error{token.error().message, ErrorKind::usage};
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

}  // namespace huntd::huntctl
