// JSON laid out for people.
#pragma once
#include <string>
#include <string_view>

namespace huntd::huntctl {

// `json` with a line per member and two spaces per level; what is short (no object or array inside,
// 60 columns at most) stays on one line. Text that is no JSON comes back as it is.
std::string pretty_json(std::string_view json);

}  // namespace huntd::huntctl
