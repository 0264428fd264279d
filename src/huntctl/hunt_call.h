// What `huntctl hunt` and `huntctl held` share: the path of a hunter's hunt, and how an answer is
// shown.
#pragma once
#include <string>

#include "huntctl/commands.h"
#include "huntctl/http_call.h"

namespace huntd::huntctl {

struct HunterOptions {
  std::string http;  // empty: of the config
  std::string hunt_id;
  std::string hunter_id;
};

// Adds HUNT, HUNTER and --http to `command`.
void add_hunter_options(CLI::App& command, HunterOptions& options);

// The path of that hunter's hunt; the error says how an id must be written.
Result<std::string> hunter_path(const HunterOptions& options);

// Prints a 200's body (and its bundle) on stdout; any other answer's problem on stderr. Returns the
// exit code.
int show_answer(const HttpAnswer& answer);

}  // namespace huntd::huntctl
