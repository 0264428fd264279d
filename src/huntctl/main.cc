// SPDX-License-Identifier: Apache-2.0
// huntctl: the command line for operators and script authors.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <csignal>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/read_text.h"
#include "huntctl/commands.h"
#include "huntctl/deadline.h"
#include "huntctl/hunt_words.h"

namespace huntd::huntctl {
namespace {

constexpr double timeout_s_min = 0.01;
constexpr double timeout_s_max = 7 * 86'400;

void add_commands(CLI::App& app, Context& context) {
  add_latency(app, context);
  add_status(app, context);
  add_top(app, context);
  add_reload(app, context);
  add_deploy(app, context);
  add_rollback(app, context);
  add_bundles(app, context);
  add_errors(app, context);
  add_tail(app, context);
  add_health(app, context);
  add_drain(app, context);
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
  add_check(app, context);
  add_try(app, context);
  add_simulate(app, context);
  add_test(app, context);
  add_new(app, context);
  add_editor(app, context);
}

std::vector<CLI::App*> commands_of(const CLI::App& app) {
  std::vector<CLI::App*> commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    commands.push_back(const_cast<CLI::App*>(command));
  return commands;
}

void add_json_and_timeout(CLI::App& app, Context& context) {
  if (app.get_option_no_throw("--json") == nullptr)
    app.add_flag("--json", context.json, "Print one JSON object, also for an error");
  app.add_option("--timeout", context.timeout_s,
                 "Exit 3 if a peer does not answer within SECONDS (HTTP: 30, stores: 10)")
      ->type_name("SECONDS")
      ->check([](const std::string& text) -> std::string {
        std::optional<double> const seconds = read_number<double>(text);
        if (seconds && *seconds >= timeout_s_min && *seconds <= timeout_s_max) return {};
        return "--timeout takes seconds, from 0.01 to a week";
      });
}

// Every command has --json and --timeout, so that they may also stand behind its name.
void add_to_each_command(CLI::App& app, Context& context) {
  std::vector<CLI::App*> const commands = commands_of(app);
  for (CLI::App* command : commands) add_to_each_command(*command, context);
  if (commands.empty()) add_json_and_timeout(app, context);
}

void add_everything(CLI::App& app, Context& context) {
  app.set_version_flag("--version", HUNTD_VERSION);
  app.add_option("-c,--config", context.config_path,
                 "Config file with the addresses (default: /etc/huntd/huntd.toml if it exists)");
  app.add_option("--token-file", context.token_file,
                 "File whose first line is the token for the public port");
  add_json_and_timeout(app, context);
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Exit codes: 0 ok; 1 not well, or a negative result; 2 wrong usage, or a bad config; 3 huntd, "
      "an aggregator or a store cannot be reached; 4 rejected by the hunt's script.");
  add_commands(app, context);
  add_to_each_command(app, context);
}

// CLI11's error for an unknown command does not name it.
std::optional<std::string> unknown_command(const CLI::App& app,
                                           const std::vector<std::string>& words) {
  size_t const at = command_at(words);
  if (at >= words.size() || words[at].empty() || words[at].starts_with('-')) return std::nullopt;
  std::string known;
  for (const CLI::App* command : commands_of(app)) {
    if (command->get_name() == words[at]) return std::nullopt;
    known += " " + command->get_name();
  }
  return "unknown command " + words[at] + "; the commands are:" + known;
}

// True if the command may wait, or repeats itself: then --timeout is for each reply of a peer.
bool goes_on(const CLI::App& app) {
  for (const CLI::App* command : app.get_subcommands())
    if (goes_on(*command)) return true;
  for (const char* always : {"--wait", "--delay", "--for"})
    if (app.get_option_no_throw(always) != nullptr) return true;
  for (const char* name : {"--watch", "--since"}) {
    const CLI::Option* const option = app.get_option_no_throw(name);
    if (option != nullptr && option->count() > 0) return true;
  }
  return false;
}

// Returns the exit code, unless a command is to be run.
std::optional<int> parse(CLI::App& app, std::vector<std::string> words) {
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    app.parse(words);
  } catch (const CLI::Success& success) {  // --help, --version
    std::ostringstream text;
    app.exit(success, text, text);
    print(text.str());
    return exit_ok;
  } catch (const CLI::ParseError& error) {
    fail_usage(error.what());
    print_note("Run with --help for more information.\n");
    return exit_usage;
  }
  return std::nullopt;
}

int call(std::vector<std::string> words) {
  CLI::App app("Inspects and uses a running huntd.", "huntctl");
  Context context;
  add_everything(app, context);
  want_json(asks_for_json(words));  // also if the command line cannot be parsed
  if (std::optional<std::string> const unknown = unknown_command(app, words))
    return fail_usage(*unknown);
  context.run_is_implied = insert_run(words);
  if (std::optional<int> const exit_code = parse(app, std::move(words))) return *exit_code;
  want_json(context.json);
  if (context.timeout_s > 0)
    start_timeout(static_cast<int64_t>(context.timeout_s * 1000), goes_on(app));
  return context.run();
}

}  // namespace
}  // namespace huntd::huntctl

int main(int argc, char** argv) {
  using namespace huntd::huntctl;
  occupy_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);  // a write returns the error
  return finish_output(call(std::vector<std::string>(argv + std::min(argc, 1), argv + argc)));
}
