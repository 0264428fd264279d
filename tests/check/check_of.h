// SPDX-License-Identifier: Apache-2.0
// Checks a script as huntctl does: a real hunt_worker compiles it first.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "check/check_script.h"

namespace huntd::test {

// Why hunt_worker does not take the script; nothing if it does.
std::optional<check::LuaError> compile(const std::string& script);

std::vector<check::Finding> check_of(const std::string& script,
                                     check::ScriptKind kind = check::ScriptKind::hunt);

// "LINE:COLUMN code: message; help", one per line.
std::string text_of(const std::vector<check::Finding>& findings);

// The lines as the body of a hunt: the first one is line 2.
std::string hunt_of(std::string_view body);

// A file below the root of the source tree.
std::string read_source(const std::string& path);

}  // namespace huntd::test
