// SPDX-License-Identifier: Apache-2.0
#include "bundle/setup.h"

#include <cstdint>
#include <string_view>

#include "wire/message_codec.h"
#include "wire/value.h"

namespace huntd {

namespace {

class Setup {
 public:
  void begin(value_tag tag, size_t count) {
    out_.number(static_cast<uint8_t>(tag));
    out_.number(static_cast<uint32_t>(count));
  }
  void key(std::string_view name) { out_.text(name); }
  void number(double value) {
    out_.number(static_cast<uint8_t>(VALUE_NUMBER));
    out_.number(value);
  }
  void text(std::string_view value) {
    out_.number(static_cast<uint8_t>(VALUE_TEXT));
    out_.text(value);
  }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
  WireWriter<std::string> out_{bytes_};
};

}  // namespace

std::string setup_of(const Bundle& bundle, const HuntSettings& settings) {
  Setup setup;
  setup.begin(VALUE_OBJECT, settings.zone.empty() ? 4 : 5);
  setup.key("memory");
  setup.number(static_cast<double>(settings.rules.memory_bytes));
  setup.key("zones");
  setup.number(bundle.zones_offset());
  setup.key("modules");
  setup.begin(VALUE_ARRAY, bundle.modules().size());
  for (const BundledModule& module : bundle.modules()) {
    setup.begin(VALUE_ARRAY, 3);
    setup.text(module.name);
    setup.number(module.offset);
    setup.number(module.bytes);
  }
  if (!settings.zone.empty()) {
    setup.key("zone");
    setup.text(settings.zone);
  }
  setup.key("config");
  return setup.bytes() + settings.config;
}

}  // namespace huntd
