// SPDX-License-Identifier: Apache-2.0
// Asks before a command changes or deletes something.
#pragma once
#include <optional>
#include <string>

#include "huntctl/commands.h"

namespace huntd::huntctl {

struct ConsentOptions {
  bool yes = false;
  bool dry_run = false;
};

// Adds --yes and --dry-run to `command`.
void add_consent_options(CLI::App& command, ConsentOptions& options);

// Returns nothing if the command may go on, else the exit code. Prints `plan` to stderr, then asks
// `question`, unless --yes was given. Without a terminal, and without --yes, that is wrong usage;
// with --dry-run the code is exit_ok.
std::optional<int> ask(const ConsentOptions& options, const std::string& plan,
                       const std::string& question);

}  // namespace huntd::huntctl
