// SPDX-License-Identifier: Apache-2.0
// huntctl errors: the errors of scripts since huntd started, each with a run that can be repeated.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/format_text.h"
#include "base/utf8.h"
#include "huntctl/commands.h"
#include "huntctl/errors_report.h"
#include "huntctl/http_call.h"
#include "huntctl/json_response.h"
#include "huntctl/status_report.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

struct Options {
  std::string hunt;  // empty: all
  std::string admin;
};

struct Found {
  ErrorsReport report;
  std::string live_bundle;  // of the first core; empty: no core has one
};

Result<Found> read_errors(const std::string& address) {
  Result<std::string> const json = get_from_admin_port(address, "/errors.json");
  if (!json) return json.error();
  Result<ErrorsReport> report = read_errors_report(*json);
  if (!report) return report.error();
  Result<std::string> const status_json = get_from_admin_port(address, "/status.json");
  if (!status_json) return status_json.error();
  Result<Status> const status = read_status(*status_json);
  if (!status) return status.error();
  Found found{std::move(*report), ""};
  if (!status->cores.empty()) found.live_bundle = status->cores.front().bundle;
  return found;
}

std::string example_text(const ErrorEntry& entry, const std::string& live_bundle,
                         const std::string& config_path) {
  const ErrorExample& example = *entry.example;
  std::string text = fmt::format("  for {}, request {}\n", example.hunter_id, example.request_id);
  if (example.bundle != live_bundle)
    text += fmt::format("  bundle {}, which is not live: its script may differ\n",
                        example.bundle.substr(0, 12));
  if (!example.lacks.empty())
    text += fmt::format("  {} had too many bytes to be kept: the repeat lacks it\n",
                        join_texts(example.lacks, " and "));
  return text + "  " + repeat_command(entry, example, config_path) + "\n";
}

std::string text_of(const Found& found, const std::string& config_path) {
  const ErrorsReport& report = found.report;
  if (report.errors.empty()) return "no script has failed since huntd started\n";
  std::string text;
  for (const ErrorEntry& entry : report.errors) {
    // Only the message of a script error names its script.
    std::string const script = entry.reason == "script_error" ? "" : entry.hunt + ".lua: ";
    text += fmt::format("{}{}\n  {}; {} times, first {}, last {} ago\n", script,
                        printable(entry.message), entry.reason, count_text(entry.count),
                        utc_text(entry.first_ms),
                        span_text(std::max<int64_t>(0, wall_ms() - entry.last_ms)));
    if (entry.example) text += example_text(entry, found.live_bundle, config_path);
    text += '\n';
  }
  if (!report.examples)
    text +=
        "no examples: other hosts can reach the admin port, and they have what hunters sent "
        "(admin.listen)\n";
  if (report.no_room > 0)
    text += fmt::format("and {} errors of kinds that found no room: the log has them\n",
                        count_text(report.no_room));
  return text;
}

std::string json_of(const Found& found, const std::string& config_path) {
  std::vector<std::string> entries;
  for (const ErrorEntry& entry : found.report.errors) {
    std::string object = entry.json;
    if (entry.example)
      add_member(object, "repeat", json_string(repeat_command(entry, *entry.example, config_path)));
    entries.push_back(std::move(object));
  }
  std::string object = "{}";
  add_member(object, "errors", "[" + join_texts(entries, ",") + "]");
  add_member(object, "no_room", json_number(found.report.no_room));
  add_member(object, "examples", found.report.examples ? "true" : "false");
  add_member(object, "live_bundle", json_string(found.live_bundle));
  return object;
}

int errors(const Options& options, const Context& context) {
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  Result<Found> found = read_errors(*address);
  if (!found) return fail(found.error());
  if (!options.hunt.empty())
    std::erase_if(found->report.errors,
                  [&](const ErrorEntry& entry) { return entry.hunt != options.hunt; });
  print_object(json_of(*found, context.config_path));
  print(text_of(*found, context.config_path));
  return exit_ok;
}

}  // namespace

void add_errors(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "errors", "Print the errors of scripts, each with the command that repeats it");
  command->add_option("HUNT", options->hunt, "Only those of this hunt");
  add_admin_option(*command, options->admin);
  set_body(*command, context, options, &errors);
}

}  // namespace huntd::huntctl
