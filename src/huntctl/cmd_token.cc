// SPDX-License-Identifier: Apache-2.0
// huntctl token: prints a token with which a game client may act as one hunter.
#include <fmt/format.h>

#include <memory>

#include "auth/hunter_token.h"
#include "auth/secrets.h"
#include "base/clock.h"
#include "base/ids.h"
#include "huntctl/commands.h"

namespace huntd::huntctl {
namespace {

struct Options {
  std::string hunter_id;
  std::string keys_file;  // empty: auth.hunter_keys_file of the config
  uint64_t expires_in_s = 0;
};

int token(const Options& options, const Context& context) {
  if (!is_path_id(options.hunter_id))
    return fail_usage(
        "a hunter_id has 1 to 64 of the characters A-Z a-z 0-9 _ . -, and is not . or ..");
  std::string keys_file = options.keys_file;
  if (keys_file.empty()) {
    Result<Config> const config = context.config();
    if (!config) return fail(config.error());
    keys_file = config->auth.hunter_keys_file;
  }
  if (keys_file.empty())
    return fail_usage("give --keys-file, or a config with auth.hunter_keys_file (-c)");
  Result<std::vector<std::string>> const keys =
      read_secrets_file(keys_file, "auth.hunter_keys_file", SecretNames::allowed);
  if (!keys) return fail_usage(keys.error().message);
  constexpr int64_t ms_per_s = 1000;
  int64_t const expires_at_s = wall_ms() / ms_per_s + static_cast<int64_t>(options.expires_in_s);
  std::string const made =
      make_hunter_token(SigningKey(keys->front()), options.hunter_id, expires_at_s);
  print_object(fmt::format(R"({{"hunter_id":{},"token":{},"expires_at_s":{}}})",
                           json_string(options.hunter_id), json_string(made), expires_at_s));
  print(made + "\n");
  return exit_ok;
}

}  // namespace

void add_token(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command =
      app.add_subcommand("token", "Print a token with which a game client may act as one hunter");
  command->add_option("--hunter", options->hunter_id, "The hunter_id")->required();
  command->add_option("--expires-in", options->expires_in_s, "Lifetime: seconds, or 30m, 12h, 7d")
      ->required()
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, uint64_t>{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}},
          CLI::AsNumberWithUnit::CASE_SENSITIVE))
      ->check(CLI::Range(uint64_t{1}, uint64_t{10} * 365 * 86400));
  command->add_option("--keys-file", options->keys_file,
                      "Signing keys; the first one signs (default: auth.hunter_keys_file)");
  set_body(*command, context, options, &token);
}

}  // namespace huntd::huntctl
