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

// What a 200 has: the outcome of a run, or what the hunter holds.
enum class HuntBody { run, held };

// Prints the body of a 200: indented on a terminal, else as huntd sent it. With --json the body has
// the member `bundle` too, else the bundle is on standard error, as the problem of any other status
// is. A 200 whose body is not huntd's `expected` for this hunt and hunter is a failure, which names
// `address`, and so is another status without a problem. Returns the exit code.
int show_response(const HttpResponse& response, HuntBody expected, const HunterOptions& options,
                  const std::string& address);

}  // namespace huntd::huntctl
