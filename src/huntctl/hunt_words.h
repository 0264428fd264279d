// SPDX-License-Identifier: Apache-2.0
// What main() reads from the command line before CLI11 does. The words after `huntctl hunt` are a
// command (close, list, open, purge, run), or HUNT and HUNTER of a run.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace huntd::huntctl {

// True if `word`, directly after `hunt`, is a command and not a HUNT.
bool is_hunt_command(std::string_view word);

// The index of the first word that is not an option of huntctl itself and not a value of one: the
// command. The number of words if there is none. `words` are the arguments of huntctl without its
// name, here and below.
size_t command_at(const std::vector<std::string>& words);

// Whether --json is among the options.
bool asks_for_json(const std::vector<std::string>& words);

// Inserts the word `run` after `hunt` if no command and no --help follows it directly. Returns
// whether it did.
bool insert_run(std::vector<std::string>& words);

}  // namespace huntd::huntctl
