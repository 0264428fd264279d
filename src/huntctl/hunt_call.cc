// SPDX-License-Identifier: Apache-2.0
#include "huntctl/hunt_call.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/ids.h"
#include "huntctl/json_pretty.h"

namespace huntd::huntctl {

void add_hunter_options(CLI::App& command, HunterOptions& options) {
  command.add_option("HUNT", options.hunt_id, "The hunt_id: the name of the script without .lua")
      ->required();
  command.add_option("HUNTER", options.hunter_id, "The hunter_id")->required();
  add_http_option(command, options.http);
}

Result<std::string> hunter_path(const HunterOptions& options) {
  for (const std::string& id : {options.hunt_id, options.hunter_id})
    if (!is_path_id(id))
      return Error{fmt::format(
          "\"{}\" is not a valid id: 1 to 64 of the characters A-Z a-z 0-9 _ . -, not . or ..",
          id)};
  return fmt::format("/v1/hunts/{}/hunters/{}", options.hunt_id, options.hunter_id);
}

int show_response(const HttpResponse& response) {
  if (response.status != 200) {
    std::fprintf(stderr, "huntctl: huntd responds with status %d\n%s\n", response.status,
                 pretty_json(response.body).c_str());
    return exit_failure;
  }
  fmt::print("{}\n", pretty_json(response.body));
  if (!response.bundle.empty()) fmt::print("bundle {}\n", response.bundle);
  return exit_ok;
}

}  // namespace huntd::huntctl
