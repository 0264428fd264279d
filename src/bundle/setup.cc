// SPDX-License-Identifier: Apache-2.0
#include "bundle/setup.h"

#include <cstdint>

#include "wire/message_codec.h"
#include "wire/value.h"

namespace huntd {

std::string setup_of(const HuntSettings& settings) {
  std::string setup;
  WireWriter out(setup);
  out.number(static_cast<uint8_t>(VALUE_OBJECT));
  out.number(uint32_t{1});
  out.text("config");
  return setup + settings.config;
}

}  // namespace huntd
