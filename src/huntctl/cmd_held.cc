// SPDX-License-Identifier: Apache-2.0
// huntctl held: prints what a hunter holds.
#include <memory>

#include "huntctl/commands.h"
#include "huntctl/hunt_call.h"

namespace huntd::huntctl {
namespace {

int held(const HunterOptions& options, const Context& context) {
  Result<std::string> const path = hunter_path(options);
  if (!path) return fail(path.error());
  Result<PublicPort> const port = context.public_port(options.http);
  if (!port) return fail(port.error());
  Result<HttpResponse> const response =
      http_get(port->address, PublicPort::name, *path, port->headers);
  if (!response) return fail(response.error());
  return show_response(*response, HuntBody::held, options, port->address);
}

}  // namespace

void add_held(CLI::App& app, Context& context) {
  auto const options = std::make_shared<HunterOptions>();
  CLI::App* const command = app.add_subcommand("held", "Print what a hunter holds of a hunt");
  add_hunter_options(*command, *options);
  set_body(*command, context, options, &held);
}

}  // namespace huntd::huntctl
