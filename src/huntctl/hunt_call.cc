// SPDX-License-Identifier: Apache-2.0
#include "huntctl/hunt_call.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/ids.h"
#include "huntctl/json_pretty.h"
#include "huntctl/json_response.h"

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
      return Error{
          fmt::format(
              "\"{}\" is not a valid id: 1 to 64 of the characters A-Z a-z 0-9 _ . -, not . or ..",
              id),
          ErrorKind::usage};
  return fmt::format("/v1/hunts/{}/hunters/{}", options.hunt_id, options.hunter_id);
}

namespace {

// What a problem (RFC 9457) says, or nothing.
std::string problem_text(const std::string& body) {
  Result<std::string> const text =
      parse_response(body, "problem", [](simdjson::dom::element problem) -> Result<std::string> {
        std::string_view title = problem["title"], detail;
        if (problem["detail"].get(detail) != simdjson::SUCCESS) return std::string(title);
        return fmt::format("{}: {}", title, detail);
      });
  return text ? *text : std::string();
}

int show_problem(const HttpResponse& response) {
  constexpr int rejected_by_script = 422;
  Result<std::string> const problem = object_of(response.body, "problem");
  std::string object = fmt::format(R"({{"status":{}}})", response.status);
  if (problem) add_member(object, "problem", *problem);
  print_object(std::move(object));
  std::string const text = problem_text(response.body);
  fail(fmt::format("huntd responds with status {}{}{}", response.status, text.empty() ? "" : ": ",
                   text));
  print_note(pretty_json(response.body) + "\n");
  return response.status == rejected_by_script ? exit_rejected : exit_failure;
}

}  // namespace

int show_response(const HttpResponse& response) {
  if (response.status != 200) return show_problem(response);
  Result<std::string> const body = object_of(response.body, "JSON object of huntd");
  if (!body) return fail(body.error());
  std::string object = *body;
  if (!response.bundle.empty()) {
    add_member(object, "bundle", json_string(response.bundle));
    print_note(fmt::format("bundle {}\n", response.bundle));
  }
  print_object(std::move(object));
  print((isatty(STDOUT_FILENO) == 1 ? pretty_json(*body) : *body) + "\n");
  return exit_ok;
}

}  // namespace huntd::huntctl
