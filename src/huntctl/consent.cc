// SPDX-License-Identifier: Apache-2.0
#include "huntctl/consent.h"

#include <unistd.h>

#include <iostream>

namespace huntd::huntctl {

void add_consent_options(CLI::App& command, ConsentOptions& options) {
  CLI::Option* const yes = command.add_flag("--yes,-y", options.yes, "Do not ask");
  command
      .add_flag("--dry-run", options.dry_run, "Print what the command would do, and change nothing")
      ->excludes(yes);
}

std::optional<int> ask(const ConsentOptions& options, const std::string& plan,
                       const std::string& question) {
  print_note(plan);
  if (options.dry_run) {
    print_note("--dry-run: nothing was changed\n");
    return exit_ok;
  }
  if (options.yes) return std::nullopt;
  if (isatty(STDIN_FILENO) != 1)
    return fail_usage(
        "nothing was changed: the input is not a terminal, so --yes has to confirm this");
  print_note(question + " [y/N] ");
  std::string reply;
  std::getline(std::cin, reply);
  if (reply == "y" || reply == "Y" || reply == "yes") return std::nullopt;
  return fail("nothing was changed");
}

}  // namespace huntd::huntctl
