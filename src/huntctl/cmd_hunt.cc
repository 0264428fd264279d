// SPDX-License-Identifier: Apache-2.0
// huntctl hunt: runs a hunt once, and the commands for a hunt as a whole.
#include <fmt/format.h>

#include <map>
#include <memory>

#include "base/ids.h"
#include "huntctl/commands.h"
#include "huntctl/hunt_call.h"
#include "huntctl/hunt_words.h"

namespace huntd::huntctl {
namespace {

struct Options : HunterOptions {
  std::string input;
  std::string key;
};

int run(const Options& options, const Context& context) {
  if (context.run_is_implied && is_hunt_command(options.hunt_id))
    return fail_usage(
        fmt::format("{0} is a command: put it directly after hunt, or write `huntctl hunt run {0} "
                    "HUNTER` to run a hunt of this name",
                    options.hunt_id));
  Result<std::string> const path = hunter_path(options);
  if (!path) return fail(path.error());
  if (!options.key.empty() && !is_idempotency_key(options.key))
    return fail_usage("--key takes 1 to 128 visible ASCII characters");
  Result<PublicPort> port = context.public_port(options.http);
  if (!port) return fail(port.error());
  if (!options.key.empty()) port->headers["Idempotency-Key"] = options.key;
  Result<HttpResponse> const response =
      http_post(port->address, PublicPort::name, *path, options.input, port->headers);
  if (!response) return fail(response.error());
  return show_response(*response, HuntBody::run, options, port->address);
}

}  // namespace

void add_hunt(CLI::App& app, Context& context) {
  CLI::App* const hunt =
      app.add_subcommand("hunt", "Run a hunt once for a hunter; close, open, list or purge hunts");
  hunt->require_subcommand(1);
  hunt->footer(
      "`huntctl hunt HUNT HUNTER` is short for `huntctl hunt run HUNT HUNTER`. A hunt that has the "
      "name of one of these commands needs the long form.");

  auto const options = std::make_shared<Options>();
  CLI::App* const command = hunt->add_subcommand("run", "Run a hunt once for a hunter");
  add_hunter_options(*command, *options);
  command->add_option("--input", options->input, "JSON that the script reads as hunt.input");
  command->add_option("--key", options->key, "Idempotency-Key: a retry returns the same result");
  set_body(*command, context, options, &run);
  add_hunt_states(*hunt, context);
  add_hunt_purge(*hunt, context);
}

}  // namespace huntd::huntctl
