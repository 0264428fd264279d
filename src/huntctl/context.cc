// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/private_file.h"
#include "base/read_text.h"
#include "drivers/kafka_properties.h"
#include "huntctl/commands.h"
#include "huntctl/http_call.h"

namespace huntd::huntctl {

namespace {

constexpr double period_s_min = 0.1;
constexpr double period_s_max = 3600;

// The first of the addresses with a port, which every user may call; if there is none, the first.
// REQUIRES: there is one.
const std::string& address_to_call(const std::vector<std::string>& addresses) {
  for (const std::string& address : addresses)
    if (!address.starts_with("unix:")) return address;
  return addresses.front();
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
    port.address = callable_address(address_to_call(config->http.listen));
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
  command.add_option("--http", http,
                     "Public address, host:port or unix:/path (default: http.listen)");
}

void add_admin_option(CLI::App& command, std::string& admin) {
  command.add_option("--admin", admin,
                     "Admin address, host:port or unix:/path (default: admin.listen)");
}

CLI::Option* add_period_option(CLI::App& command, const std::string& name, double& seconds,
                               const std::string& help) {
  auto const check = [name](const std::string& text) -> std::string {
    std::optional<double> const number = read_number<double>(text);
    if (number && *number >= period_s_min && *number <= period_s_max) return {};
    return name + " takes seconds, from 0.1 to 3600";
  };
  return command.add_option(name, seconds, help)->type_name("SECONDS")->check(check);
}

void add_count_option(CLI::App& command, uint64_t& count, const std::string& help) {
  command.add_option("--count", count, help)
      ->type_name("N")
      ->check(CLI::Range(uint64_t{1}, uint64_t{UINT32_MAX}));
}

}  // namespace huntd::huntctl
