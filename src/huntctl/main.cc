// SPDX-License-Identifier: Apache-2.0
// huntctl: the command line for operators and script authors.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "huntctl/commands.h"
#include "huntctl/hunt_words.h"

int main(int argc, char** argv) {
  using namespace huntd::huntctl;
  CLI::App app("Inspects and uses a running huntd.", "huntctl");
  Context context;
  app.set_version_flag("--version", HUNTD_VERSION);
  app.add_option("-c,--config", context.config_path,
                 "Config file with the addresses (default: /etc/huntd/huntd.toml if it exists)");
  app.add_option("--token-file", context.token_file,
                 "File whose first line is the token for the public port");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer("Exit codes: 0 success, 1 failed or not well, 2 wrong usage.");

  add_latency(app, context);
  add_status(app, context);
  add_core_map(app, context);
  add_hunt(app, context);
  add_held(app, context);
  add_token(app, context);
  add_reconcile(app, context);
  add_lag(app, context);
  add_dead(app, context);
  add_supplies(app, context);
  add_forget(app, context);
  add_restore(app, context);

  // CLI11's error for an unknown command does not name it.
  if (argc > 1 && argv[1][0] != '-') {
    bool found = false;
    std::string known;
    for (const CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
      found = found || command->get_name() == argv[1];
      known += " " + command->get_name();
    }
    if (!found) {
      std::fprintf(stderr, "huntctl: unknown command %s; the commands are:%s\n", argv[1],
                   known.c_str());
      return exit_usage;
    }
  }

  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  context.run_is_implied = insert_run(words);
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_ok : exit_usage;
  }
  return context.run();
}
