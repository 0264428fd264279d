// SPDX-License-Identifier: Apache-2.0
#include "huntctl/consent.h"

#include <unistd.h>

#include <cstdio>
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
  std::fputs(plan.c_str(), stderr);
  if (options.dry_run) {
    std::fputs("--dry-run: nothing was changed\n", stderr);
    return exit_ok;
  }
  if (options.yes) return std::nullopt;
  if (isatty(STDIN_FILENO) != 1) {
    fail("nothing was changed: the input is not a terminal, so --yes has to confirm this");
    return exit_usage;
  }
  std::fprintf(stderr, "%s [y/N] ", question.c_str());
  std::string reply;
  std::getline(std::cin, reply);
  if (reply == "y" || reply == "Y" || reply == "yes") return std::nullopt;
  return fail("nothing was changed");
}

}  // namespace huntd::huntctl
