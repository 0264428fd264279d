// The commands of huntctl: one function here, one file cmd_NAME.cc and one line in main.cc each.
#pragma once
#include <functional>
#include <map>
#include <string>

#include <CLI/CLI.hpp>

#include "base/config.h"

namespace huntd::huntctl {

// Exit codes.
inline constexpr int exit_ok = 0;
inline constexpr int exit_failure = 1;  // not done, or what was asked about is not well
inline constexpr int exit_usage = 2;

// Where huntd's public port is, and the headers that show who calls: none without --token-file.
struct PublicPort {
  static constexpr const char* name = "public port (--http)";  // for errors
  std::string address;
  std::map<std::string, std::string> headers;
};

// What all commands share. Lives as long as the program.
struct Context {
  std::string config_path;  // -c; empty: the file of the packages where there is one, else defaults
  std::string token_file;   // --token-file; empty: calls show no token
  // What the chosen command does, set by its CLI11 callback; run by main() after the command line
  // was read. The result is the exit code.
  std::function<int()> run;

  // Reads the config file (or the defaults); the error says what is wrong with it.
  Result<Config> config() const;
  // `http`: the address that --http gave; empty: the config's.
  Result<PublicPort> public_port(const std::string& http) const;
};

// Each adds its command to `app`.
void add_latency(CLI::App& app, Context& context);
void add_status(CLI::App& app, Context& context);
void add_core_map(CLI::App& app, Context& context);
void add_hunt(CLI::App& app, Context& context);
void add_held(CLI::App& app, Context& context);
void add_token(CLI::App& app, Context& context);
void add_reconcile(CLI::App& app, Context& context);
void add_lag(CLI::App& app, Context& context);
void add_dead(CLI::App& app, Context& context);
void add_supplies(CLI::App& app, Context& context);

// "huntctl: MESSAGE" on stderr; returns exit_failure.
int fail(const std::string& message);

}  // namespace huntd::huntctl
