// SPDX-License-Identifier: Apache-2.0
// The text and JSON forms of findings.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "check/finding.h"

namespace huntd::check {

// "FILE:LINE:COLUMN: error: MESSAGE", the line of the script, a caret below the place, and
// "help: HELP", each with a line end. What a terminal could obey in the line becomes "?".
std::string finding_text(std::string_view file, std::string_view script, const Finding& finding,
                         bool colour);

// A JSON object with file, line, column, severity, code, message and help.
std::string finding_json(std::string_view file, const Finding& finding);

// "1 error, 2 warnings".
std::string count_text(const std::vector<Finding>& findings);

}  // namespace huntd::check
