// huntctl: the operator's and the artist's command.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>

#include "huntctl/commands.h"

int main(int argc, char** argv) {
  using namespace huntd::huntctl;
  CLI::App app("Watches and plays a running huntd.", "huntctl");
  Context context;
  app.set_version_flag("--version", HUNTD_VERSION);
  app.add_option(
      "-c,--config", context.config_path,
      "Config file that tells the addresses (default: /etc/huntd/huntd.toml where it exists)");
  app.add_option("--token-file", context.token_file,
                 "File whose first line is the token to call the public port with");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer("Exit codes: 0 ok, 1 not done or not well, 2 wrong usage.");

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

  // CLI11 says only that a command is required; a mistyped one should be named.
  if (argc > 1 && argv[1][0] != '-') {
    bool found = false;
    std::string known;
    for (const CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
      found = found || command->get_name() == argv[1];
      known += " " + command->get_name();
    }
    if (!found) {
      std::fprintf(stderr, "huntctl: no command %s; there are:%s\n", argv[1], known.c_str());
      return exit_usage;
    }
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_ok : exit_usage;
  }
  return context.run();
}
