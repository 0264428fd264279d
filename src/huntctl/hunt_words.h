// SPDX-License-Identifier: Apache-2.0
// The words after `huntctl hunt`: a command (close, list, open, purge, run), or HUNT and HUNTER of
// a run.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace huntd::huntctl {

// True if `word`, directly after `hunt`, is a command and not a HUNT.
bool is_hunt_command(std::string_view word);

// Inserts the word `run` after `hunt` if no command and no --help follows it directly. `words` are
// the arguments of huntctl without its name. Returns whether it did.
bool insert_run(std::vector<std::string>& words);

}  // namespace huntd::huntctl
