// huntctl hunt: plays a hunt once.
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
  Result<HttpAnswer> const answer =
      http_post(port->address, PublicPort::name, *path, options.input, port->headers);
  return answer ? show_answer(*answer) : fail(answer.error().message);
}

}  // namespace

void add_hunt(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand("hunt", "Plays a hunt once for a hunter");
  add_hunter_options(*command, *options);
  command->add_option("--input", options->input, "JSON that the script sees as hunt.input");
  command->add_option("--key", options->key, "Idempotency-Key: a repeat gives the same answer");
  command->callback([options, &context] {
    context.run = [options, &context] { return hunt(*options, context); };
  });
}

}  // namespace huntd::huntctl
