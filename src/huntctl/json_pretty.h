// SPDX-License-Identifier: Apache-2.0
// Formats JSON for people.
#pragma once
#include <string>
#include <string_view>

namespace huntd::huntctl {

// Returns `json` with one line per member and two spaces per level. A value of at most 60
// characters without nested objects or arrays stays on one line. A text that is not JSON is
// returned unchanged.
std::string pretty_json(std::string_view json);

}  // namespace huntd::huntctl
