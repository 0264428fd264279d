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

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr const char* rejected_type = "urn:huntd:problem:rejected";

struct ProblemText {
  std::string type;
  std::string text;  // for people
};

// Returns empty texts if the body is not a problem (RFC 9457).
ProblemText read_problem(const std::string& body) {
  Result<ProblemText> const read =
      parse_response(body, "problem", [](element problem) -> Result<ProblemText> {
        std::string_view const type = problem["type"], title = problem["title"];
        std::string_view detail;
        if (problem["detail"].get(detail) != simdjson::SUCCESS)
          return ProblemText{std::string(type), std::string(title)};
        return ProblemText{std::string(type), fmt::format("{}: {}", title, detail)};
      });
  return read ? *read : ProblemText();
}

int show_problem(const HttpResponse& response, const std::string& address) {
  Result<std::string> const body = object_of(response.body, "problem");
  std::string shown = fmt::format(R"({{"status":{}}})", response.status);
  if (body) add_member(shown, "problem", *body);
  print_object(std::move(shown));
  ProblemText const problem = read_problem(response.body);
  fail(problem.type.empty()
           ? fmt::format("{} responds with status {} and not with a problem: is it huntd's {}?",
                         address, response.status, PublicPort::name)
           : fmt::format("huntd responds with status {}: {}", response.status, problem.text));
  print_note(pretty_json(response.body) + "\n");
  return problem.type == rejected_type ? exit_rejected : exit_failure;
}

// Throws simdjson_error if a member is missing or has another type.
void read_run(element body) {
  static_cast<void>(std::string_view(body["request_id"]));
  for (element const award : array(body["loot"]))
    for (const char* id : {"loot_id", "event_id"}) static_cast<void>(std::string_view(award[id]));
  static_cast<void>(body["result"].value());
  static_cast<void>(bool(body["replayed"]));
}

void read_held(element body) {
  for (auto const& [loot_id, count] : object(body["loot"])) static_cast<void>(uint64_t(count));
  static_cast<void>(uint64_t(body["loot_count"]));
}

Result<void> check_body(const std::string& body, HuntBody expected, const HunterOptions& options) {
  return parse_response(body, "response", [&](element document) -> Result<void> {
    std::string_view const hunt_id = document["hunt_id"], hunter_id = document["hunter_id"];
    if (hunt_id != options.hunt_id || hunter_id != options.hunter_id)
      return Error{
          fmt::format("the response is that of hunt {} and hunter {}", hunt_id, hunter_id)};
    if (expected == HuntBody::run)
      read_run(document);
    else
      read_held(document);
    return {};
  });
}

}  // namespace

int show_response(const HttpResponse& response, HuntBody expected, const HunterOptions& options,
                  const std::string& address) {
  if (response.status != 200) return show_problem(response, address);
  Result<std::string> const body = object_of(response.body, "response");
  Result<void> const checked =
      body ? check_body(*body, expected, options) : Result<void>(body.error());
  if (!checked) return fail(fmt::format("{}: {}", address, checked.error().message));
  std::string shown = *body;
  if (!response.bundle.empty()) {
    add_member(shown, "bundle", json_string(response.bundle));
    print_note(fmt::format("bundle {}\n", response.bundle));
  }
  print_object(std::move(shown));
  print((isatty(STDOUT_FILENO) == 1 ? pretty_json(*body) : *body) + "\n");
  return exit_ok;
}

}  // namespace huntd::huntctl
