// SPDX-License-Identifier: Apache-2.0
#include "huntd/script_report.h"

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bundle/bundle.h"
#include "bundle/load.h"
#include "check/check_script.h"
#include "check/report.h"
#include "settings/hunt_settings.h"

namespace huntd::server {

std::string script_report(const std::string& dir, const std::string& errors) {
  Result<LoadedBundle> const loaded = load_bundle(dir);
  if (!loaded) return {};
  Result<std::string> const sources = read_sources(loaded->bundle);
  if (!sources) return {};
  std::string text;
  for (const BundledHunt& hunt : loaded->bundle.hunts()) {
    std::optional<check::LuaError> const error = check::lua_error_of(errors, hunt.hunt_id);
    if (!error && !errors.empty()) continue;
    std::string_view const script = std::string_view(*sources).substr(hunt.offset, hunt.bytes);
    ReadSettings read = read_hunt_settings(
        std::string_view(*sources).substr(hunt.settings_offset, hunt.settings_bytes));
    check::ScriptFacts facts;
    if (read.mistakes.empty()) facts.config_keys = std::move(read.config_keys);
    facts.has_zone = !read.settings.zone.empty();
    for (check::Finding finding : check::check_script(script, error, facts)) {
      if (!error) finding.severity = check::Severity::warning;
      std::string const file = fmt::format("{}/{}.lua", dir, hunt.hunt_id);
      text += "\n" + check::finding_text(file, script, finding, false);
    }
  }
  return text;
}

}  // namespace huntd::server
