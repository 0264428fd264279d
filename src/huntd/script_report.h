// SPDX-License-Identifier: Apache-2.0
// What `huntd -t` says about scripts, beside whether they compile.
#pragma once
#include <string>

namespace huntd::server {

// The findings of src/check/ in the scripts of `dir`, as text for people; empty if there are none.
// `errors` is what prepare() has reported: then only the scripts that it names are looked at. If it
// is empty, huntd takes all scripts, and every finding is a warning.
std::string script_report(const std::string& dir, const std::string& errors);

}  // namespace huntd::server
