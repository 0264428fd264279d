// SPDX-License-Identifier: Apache-2.0
// huntctl bundles: the bundles that huntd keeps, and which one is live.
#include <fmt/format.h>
#include <simdjson.h>

#include <memory>
#include <string>
#include <string_view>

#include "huntctl/commands.h"
#include "huntctl/http_call.h"
#include "huntctl/json_response.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;

struct Options {
  std::string admin;
};

Result<std::string> text_of(std::string_view json) {
  return parse_response(json, "bundles.json", [](element document) -> Result<std::string> {
    TextTable table;
    for (const char* head : {"bundle", "state", "since", "by"})
      table.add_column(head, TextTable::Align::left);
    for (const char* head : {"hunts", "served"}) table.add_column(head, TextTable::Align::right);
    table.add_column("from", TextTable::Align::left);
    for (element const bundle : array(document["bundles"]))
      table.add_row({std::string(std::string_view(bundle["bundle"]).substr(0, 12)),
                     bool(bundle["live"]) ? "live" : "", utc_text(int64_t(bundle["at_ms"])),
                     std::string(std::string_view(bundle["by"])),
                     count_text(uint64_t(bundle["hunts"])), count_text(uint64_t(bundle["served"])),
                     std::string(std::string_view(bundle["from"]))});
    return table.str() +
           (bool(document["deployed"])
                ? "reloads and starts serve the live bundle; `huntctl deploy --hunts-dir` ends that\n"
                : "reloads and starts read hunts.dir\n");
  });
}

int bundles(const Options& options, const Context& context) {
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  Result<std::string> const json = get_from_admin_port(*address, "/bundles.json");
  if (!json) return fail(json.error());
  Result<std::string> const object = object_of(*json, "bundles.json");
  if (!object) return fail(object.error());
  Result<std::string> const text = text_of(*json);
  if (!text) return fail(text.error());
  print_object(*object);
  print(*text);
  return exit_ok;
}

}  // namespace

void add_bundles(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command =
      app.add_subcommand("bundles", "Print the bundles that huntd keeps, and which one is live");
  add_admin_option(*command, options->admin);
  set_body(*command, context, options, &bundles);
}

}  // namespace huntd::huntctl
