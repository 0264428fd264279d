// SPDX-License-Identifier: Apache-2.0
// Any text as a config file: it is rejected with a line, or accepted, and then print_config()'s
// output parses to the same config.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string const text(reinterpret_cast<const char*>(data), size);
  huntd::Result<huntd::Config> config = huntd::parse_config(text, "f");
  if (!config) {
    CHECK(config.error().message.starts_with("f:"));
    return 0;
  }
  std::string const printed = huntd::print_config(*config);
  huntd::Result<huntd::Config> again = huntd::parse_config(printed, "f");
  CHECK(static_cast<bool>(again));
  config->origin.clear();
  again->origin.clear();
  CHECK(huntd::print_config(*again) == huntd::print_config(*config));
  return 0;
}
