// SPDX-License-Identifier: Apache-2.0
// huntctl hunt: runs a hunt once.
#include <map>
#include <memory>

#include "base/ids.h"
#include "huntctl/commands.h"
#include "huntctl/hunt_call.h"

namespace huntd::huntctl {
namespace {

struct Options : HunterOptions {
  std::string input;
  std::string key;
};

int hunt(const Options& options, const Context& context) {
  Result<std::string> const path = hunter_path(options);
  if (!path) {
    fail(path.error().message);
    return exit_usage;
  }
  if (!options.key.empty() && !is_idempotency_key(options.key)) {
    fail("--key takes 1 to 128 visible ASCII characters");
    return exit_usage;
  }
  Result<PublicPort> port = context.public_port(options.http);
  if (!port) return fail(port.error().message);
  if (!options.key.empty()) port->headers["Idempotency-Key"] = options.key;
  Result<HttpResponse> const response =
      http_post(port->address, PublicPort::name, *path, options.input, port->headers);
  return response ? show_response(*response) : fail(response.error().message);
}

}  // namespace

void add_hunt(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand("hunt", "Run a hunt once for a hunter");
  add_hunter_options(*command, *options);
  command->add_option("--input", options->input, "JSON that the script reads as hunt.input");
  command->add_option("--key", options->key, "Idempotency-Key: a retry returns the same result");
  set_body(*command, context, options, &hunt);
}

}  // namespace huntd::huntctl
