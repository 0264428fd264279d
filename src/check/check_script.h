// SPDX-License-Identifier: Apache-2.0
// Finds the mistakes of a script. Whether it compiles is for LuaJIT to say, which hunt_worker asks
// (bundle/check.h): what the parser here finds in a script that compiles is dropped. So a mistake
// of this check cannot reject a script.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "check/finding.h"

namespace huntd::check {

// Why hunt_worker does not take a script.
struct LuaError {
  size_t line = 1;
  std::string message;
};

enum class ScriptKind {
  hunt,
  test,    // of a hunt: its function gets `test` in place of `hunt`
  module,  // lib/NAME.lua: it returns what scripts share
};

// What is known of a script beside its text.
struct ScriptFacts {
  ScriptKind kind = ScriptKind::hunt;
  // The names in [config] of its NAME.toml; nothing: they are not known.
  std::optional<std::vector<std::string>> config_keys;
  bool has_zone = false;  // NAME.toml names a time zone, for hunt.date()
};

// Returns the findings in the order of the script. `error` is that of hunt_worker; nothing: the
// script compiles, and its top-level code returns a function.
std::vector<Finding> check_script(std::string_view script, const std::optional<LuaError>& error,
                                  const ScriptFacts& facts = {});

// Finds the error of a hunt in what check_bundle() reports: a line "DIR/HUNT_ID.lua:LINE: message".
// Nothing if it has none.
std::optional<LuaError> lua_error_of(std::string_view report, std::string_view hunt_id);

bool has_error(const std::vector<Finding>& findings);

}  // namespace huntd::check
