// SPDX-License-Identifier: Apache-2.0
// The commands of huntctl: each has a function here, a file cmd_NAME.cc and a line in main.cc.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "config/config.h"
#include "huntctl/output.h"

namespace huntd::huntctl {

// Exit codes (huntctl(1), "EXIT STATUS").
inline constexpr int exit_ok = 0;
inline constexpr int exit_failure = 1;      // the result is not well, or negative
inline constexpr int exit_usage = 2;        // also a config or a file that cannot be used
inline constexpr int exit_unreachable = 3;  // of huntd, an aggregator or a store
inline constexpr int exit_rejected = 4;     // by the hunt's script

// huntd's public port, and the headers that authenticate the caller (none without --token-file).
struct PublicPort {
  static constexpr const char* name = "public port (--http)";  // in errors
  std::string address;
  std::map<std::string, std::string> headers;
};

// The options of a command that has none of its own.
struct NoOptions {};

// What all commands share. Exists until the program exits.
struct Context {
  std::string config_path;      // -c; empty: /etc/huntd/huntd.toml if it exists, else the defaults
  std::string token_file;       // --token-file; empty: send no token
  bool json = false;            // --json
  double timeout_s = 0;         // --timeout; 0: the defaults
  bool run_is_implied = false;  // `huntctl hunt HUNT HUNTER`, without the word run
  // The chosen command. Its CLI11 callback sets it, and main() calls it after the command line is
  // parsed. Returns the exit code.
  std::function<int()> run;

  // Reads the config file, or returns the defaults. Errors of these three are of kind `usage`.
  Result<Config> config() const;
  // `http` is the argument of --http; if it is empty, the address is http.listen of the config.
  Result<PublicPort> public_port(const std::string& http) const;
  // `admin` is the argument of --admin; if it is empty, the address is admin.listen of the config.
  Result<std::string> admin_address(const std::string& admin) const;
};

// Options that several commands have.
void add_http_option(CLI::App& command, std::string& http);
void add_admin_option(CLI::App& command, std::string& admin);
// For a command that repeats itself: how often, in seconds, from 0.1 to 3600.
CLI::Option* add_period_option(CLI::App& command, const std::string& name, double& seconds,
                               const std::string& help);
// --count: how often, at most. 0 is its default, and not allowed.
void add_count_option(CLI::App& command, uint64_t& count, const std::string& help);

// Makes main() call `body` if `command` is the one on the command line.
template <class Options>
void set_body(CLI::App& command, Context& context, const std::shared_ptr<Options>& options,
              int (*body)(const Options&, const Context&)) {
  command.callback([options, body, &context] {
    context.run = [options, body, &context] { return body(*options, context); };
  });
}

// Each adds its command to `app`, and those below to the command `hunt`.
void add_latency(CLI::App& app, Context& context);
void add_status(CLI::App& app, Context& context);
void add_top(CLI::App& app, Context& context);
void add_reload(CLI::App& app, Context& context);
void add_deploy(CLI::App& app, Context& context);
void add_rollback(CLI::App& app, Context& context);
void add_bundles(CLI::App& app, Context& context);
void add_errors(CLI::App& app, Context& context);
void add_tail(CLI::App& app, Context& context);
void add_health(CLI::App& app, Context& context);
void add_drain(CLI::App& app, Context& context);  // and undrain
void add_core_map(CLI::App& app, Context& context);
void add_hunt(CLI::App& app, Context& context);
void add_held(CLI::App& app, Context& context);
void add_token(CLI::App& app, Context& context);
void add_reconcile(CLI::App& app, Context& context);
void add_lag(CLI::App& app, Context& context);
void add_dead(CLI::App& app, Context& context);
void add_supplies(CLI::App& app, Context& context);
void add_forget(CLI::App& app, Context& context);
void add_restore(CLI::App& app, Context& context);
void add_check(CLI::App& app, Context& context);
void add_try(CLI::App& app, Context& context);
void add_simulate(CLI::App& app, Context& context);
void add_test(CLI::App& app, Context& context);
void add_new(CLI::App& app, Context& context);
void add_editor(CLI::App& app, Context& context);
void add_hunt_states(CLI::App& hunt, Context& context);
void add_hunt_purge(CLI::App& hunt, Context& context);

}  // namespace huntd::huntctl
