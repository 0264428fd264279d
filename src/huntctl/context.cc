#include <unistd.h>

#include <cstdio>

#include "huntctl/commands.h"

namespace huntd::huntctl {

Result<Config> Context::config() const {
  constexpr const char* packaged = "/etc/huntd/huntd.toml";
  if (!config_path.empty()) return load_config(config_path);
  if (access(packaged, R_OK) == 0) return load_config(packaged);
  return Config();
}

int fail(const std::string& message) {
  std::fprintf(stderr, "huntctl: %s\n", message.c_str());
  return exit_failure;
}

}  // namespace huntd::huntctl
