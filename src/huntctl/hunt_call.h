// SPDX-License-Identifier: Apache-2.0
// What `huntctl hunt` and `huntctl held` share: their options, the path, and the output.
#pragma once
#include <string>

#include "huntctl/commands.h"
#include "huntctl/http_call.h"

namespace huntd::huntctl {

struct HunterOptions {
  std::string http;  // empty: http.listen of the config
  std::string hunt_id;
  std::string hunter_id;
};

// Adds HUNT, HUNTER and --http to `command`.
void add_hunter_options(CLI::App& command, HunterOptions& options);

// Returns the path of the hunter's hunt. The error says what an id may contain.
Result<std::string> hunter_path(const HunterOptions& options);

// Prints the body and bundle of a 200 to stdout, and the problem of any other status to stderr.
// Returns the exit code.
int show_response(const HttpResponse& response);

}  // namespace huntd::huntctl
