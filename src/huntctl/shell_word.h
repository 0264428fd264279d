// SPDX-License-Identifier: Apache-2.0
// Words of commands that are printed to be typed again.
#pragma once
#include <string>

namespace huntd::huntctl {

// `word` as a shell reads it: in quotes if it needs them.
std::string shell_word(const std::string& word);

}  // namespace huntd::huntctl
