// SPDX-License-Identifier: Apache-2.0
// huntctl health: whether huntd should get traffic, by one call of /readyz.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/format_text.h"
#include "base/json_text.h"
#include "huntctl/commands.h"
#include "huntctl/health_call.h"

namespace huntd::huntctl {
namespace {

struct Options {
  std::string admin;
};

int health(const Options& options, const Context& context) {
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  Result<std::vector<std::string>> const reasons = health_reasons(*address, "/readyz", "ready");
  if (!reasons) return fail(reasons.error());
  print_object(
      fmt::format(R"({{"ready":{},"reasons":{}}})", reasons->empty(), json_array(*reasons)));
  if (!reasons->empty()) return fail("not ready: " + join_texts(*reasons, "; "));
  print("ready\n");
  return exit_ok;
}

}  // namespace

void add_health(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "health", "Exit 0 if huntd is ready for traffic, 1 with the reason if not");
  add_admin_option(*command, options->admin);
  set_body(*command, context, options, &health);
}

}  // namespace huntd::huntctl
