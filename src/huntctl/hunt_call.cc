#include "huntctl/hunt_call.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/ids.h"
#include "huntctl/json_pretty.h"

namespace huntd::huntctl {

void add_hunter_options(CLI::App& command, HunterOptions& options) {
  command.add_option("HUNT", options.hunt_id, "The hunt_id: its script's name without .lua")
      ->required();
  command.add_option("HUNTER", options.hunter_id, "The hunter_id")->required();
  command.add_option("--http", options.http, "Public address, host:port (default: http.listen)");
}

Result<std::string> hunter_path(const HunterOptions& options) {
  for (const std::string& id : {options.hunt_id, options.hunter_id})
    if (!is_id(id))
      return Error{fmt::format("\"{}\" is no id: 1 to 64 of the characters A-Z a-z 0-9 _ . -", id)};
  return fmt::format("/v1/hunts/{}/hunters/{}", options.hunt_id, options.hunter_id);
}

int show_answer(const HttpAnswer& answer) {
  if (answer.status != 200) {
    std::fprintf(stderr, "huntctl: huntd answers %d\n%s\n", answer.status,
                 pretty_json(answer.body).c_str());
    return exit_failure;
  }
  fmt::print("{}\n", pretty_json(answer.body));
  if (!answer.bundle.empty()) fmt::print("bundle {}\n", answer.bundle);
  return exit_ok;
}

}  // namespace huntd::huntctl
