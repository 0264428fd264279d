// SPDX-License-Identifier: Apache-2.0
// What NAME.toml says beside NAME.lua: what a hunt has beside its code (decision 60).
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "settings/run_rules.h"

namespace huntd {

struct HuntSettings {
  // The table [config] as a value (wire/value.h), at most limits::hunt_config_bytes_max bytes; an
  // empty object if there is none. hunt.config in the script.
  std::string config;
  std::string zone;  // time zone of the hunt; empty: none is named
  RunRules rules;
};

struct SettingsMistake {
  size_t line = 1;
  std::string what;
  std::string help;  // what to do
};

struct ReadSettings {
  HuntSettings settings;                  // complete if there are no mistakes
  std::vector<SettingsMistake> mistakes;  // in the order of the file
  std::vector<std::string> config_keys;   // the names in [config]
};

// Reads the text of NAME.toml; an empty text has the settings of a hunt without that file.
ReadSettings read_hunt_settings(std::string_view text);

// The same, of a file that must have no mistake. The error has a line "FILE:LINE: what; what to do"
// for each; `file` names the file in it.
Result<HuntSettings> parse_hunt_settings(std::string_view text, const std::string& file);

}  // namespace huntd
