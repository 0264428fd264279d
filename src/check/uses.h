// SPDX-License-Identifier: Apache-2.0
// Mistakes in a script that can be read: how it uses `hunt`, the libraries and its variables.
#pragma once
#include <string_view>
#include <vector>

#include "check/check_script.h"
#include "check/finding.h"
#include "check/scopes.h"
#include "check/tree.h"

namespace huntd::check {

// Calls of the hunt API, values that are a function or may be nil, fields of libraries.
std::vector<Finding> check_values(std::string_view script, const Node* chunk, const Scopes& scopes,
                                  const ScriptFacts& facts);

// Global names that do not exist, and those that the script makes without `local`.
std::vector<Finding> check_variables(std::string_view script, const Scopes& scopes);

}  // namespace huntd::check
