// SPDX-License-Identifier: Apache-2.0
#include "huntctl/errors_report.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <utility>

#include "huntctl/json_response.h"
#include "huntctl/shell_word.h"

namespace huntd::huntctl {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

std::string text_at(const element& from, const char* name) {
  return std::string(std::string_view(from[name]));
}

bool lacks(const ErrorExample& example, std::string_view part) {
  for (const std::string& each : example.lacks)
    if (each == part) return true;
  return false;
}

ErrorExample read_example(const element& from) {
  ErrorExample example;
  example.hunter_id = text_at(from, "hunter_id");
  example.request_id = text_at(from, "request_id");
  example.bundle = text_at(from, "bundle");
  example.now_ms = int64_t(from["now_ms"]);
  example.seed = text_at(from, "seed");
  for (element const part : array(from["lacks"]))
    example.lacks.emplace_back(std::string_view(part));
  if (!lacks(example, "held") && !from["held"].is_null())
    for (auto const& [loot_id, count] : object(from["held"]))
      example.held[std::string(loot_id)] = uint64_t(count);
  // Only of a run that asked, and of no older huntd.
  if (element left; !lacks(example, "left") && from["left"].get(left) == simdjson::SUCCESS)
    for (auto const& [loot_id, units] : object(left))
      example.left[std::string(loot_id)] = uint64_t(units);
  if (!lacks(example, "gone"))
    for (element const loot_id : array(from["gone"]))
      example.gone.emplace_back(std::string_view(loot_id));
  for (auto const& [name, text] :
       {std::pair<const char*, std::string*>("input", &example.input), {"state", &example.state}})
    if (!lacks(example, name) && !from[name].is_null()) *text = text_at(from, name);
  return example;
}

ErrorEntry read_entry(const element& from) {
  ErrorEntry entry;
  entry.hunt = text_at(from, "hunt");
  if (!from["line"].is_null()) entry.line = uint64_t(from["line"]);
  entry.reason = text_at(from, "reason");
  entry.message = text_at(from, "message");
  entry.count = uint64_t(from["count"]);
  entry.first_ms = int64_t(from["first_ms"]);
  entry.last_ms = int64_t(from["last_ms"]);
  if (!from["example"].is_null()) entry.example = read_example(from["example"]);
  entry.json = simdjson::minify(from);
  return entry;
}

// The same JSON without characters that change a terminal: a body is JSON, in which those above
// U+007E are in strings, and those below a space, but for line breaks, between its parts.
std::string input_word(std::string_view input) {
  std::string clean;
  for (size_t at = 0; at < input.size(); ++at) {
    auto const c = static_cast<uint8_t>(input[at]);
    auto const next = static_cast<uint8_t>(at + 1 < input.size() ? input[at + 1] : 0);
    if (c == 0xc2 && next >= 0x80 && next < 0xa0) {
      clean += fmt::format("\\u{:04x}", next);
      ++at;
    } else if (c == 0x7f) {
      clean += "\\u007f";
    } else {
      clean += c < 0x20 && c != '\n' ? ' ' : input[at];
    }
  }
  return shell_word(clean);
}

}  // namespace

Result<ErrorsReport> read_errors_report(std::string_view json) {
  return parse_response(json, "errors.json", [](element document) -> Result<ErrorsReport> {
    ErrorsReport report;
    for (element const entry : array(document["errors"]))
      report.errors.push_back(read_entry(entry));
    report.no_room = uint64_t(document["no_room"]);
    report.examples = bool(document["examples"]);
    return report;
  });
}

std::string repeat_command(const ErrorEntry& entry, const ErrorExample& example,
                           const std::string& config_path) {
  std::string command = "huntctl";
  if (!config_path.empty()) command += " -c " + shell_word(config_path);
  command += fmt::format(" try {} {} --now {} --seed {}", shell_word(entry.hunt),
                         shell_word(example.hunter_id), example.now_ms, example.seed);
  if (!example.input.empty()) command += " --input " + input_word(example.input);
  if (!example.held.empty()) command += " --held " + shell_word(counts_word(example.held));
  if (!example.state.empty()) command += " --state " + shell_word(example.state);
  return command + supply_options(example.gone, example.left);
}

}  // namespace huntd::huntctl
