// SPDX-License-Identifier: Apache-2.0
// Prints one reference from the tables of the programs, for the generated parts of docs/:
// tools/update_references.py runs it and puts its output between the markers.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "aggregator/metric_table.h"
#include "config/config.h"
#include "http/problem.h"
#include "metrics/prometheus.h"

namespace huntd {
namespace {

constexpr int exit_usage = 2;
constexpr const char* usage =
    "usage: print_reference config SECTION      Markdown table of the keys of a section\n"
    "       print_reference man-config          the keys of all sections, mdoc\n"
    "       print_reference metrics PROGRAM     Markdown table: huntd or hunt-aggregator\n"
    "       print_reference problems            Markdown table of the problem types\n"
    "       print_reference openapi-problems    enum of the problem types, YAML\n";

std::string_view section_of(const ConfigKey& key) {
  return std::string_view(key.name).substr(0, key.name.find('.'));
}

// The default as both references show it. toml++ may quote a text with ' instead of ".
std::string default_of(const ConfigKey& key) {
  if (!key.is_text || key.default_text.starts_with('[')) return key.default_text;
  return fmt::format("\"{}\"", key.default_text.substr(1, key.default_text.size() - 2));
}

std::string_view when_of(const ConfigKey& key) {
  return key.at_reload ? "at reload" : "at restart";
}

// In a cell of a Markdown table | must be escaped.
std::string cell(std::string_view text) {
  std::string escaped;
  for (char const c : text) {
    if (c == '|') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

// False if there is no such section.
bool print_config_section(std::string_view section) {
  bool found = false;
  fmt::print("| key | default | range | change takes effect | meaning |\n");
  fmt::print("| --- | --- | --- | --- | --- |\n");
  for (const ConfigKey& key : config_keys()) {
    if (section_of(key) != section) continue;
    found = true;
    fmt::print("| `{}` | `{}` | {} | {} | {} |\n", key.name, default_of(key), cell(key.range),
               when_of(key), cell(key.help));
  }
  return found;
}

// A word as mdoc: backticks begin and end bold text. `code` is true inside bold text.
std::string mdoc_word(std::string_view word, bool& code) {
  std::string text;
  for (char const c : word) {
    if (c == '`') {
      code = !code;
      text += code ? "\\fB" : "\\fP";
    } else {
      text += c == '\\' ? "\\e" : std::string(1, c);
    }
  }
  return text;
}

// Prints text as mdoc, one line per sentence, at most 78 columns.
void print_mdoc(std::string_view text) {
  constexpr size_t columns_max = 78;
  std::string line;
  bool code = false;
  auto const flush = [&] {
    // A line that begins with . or ' would be a macro.
    if (line.starts_with('.') || line.starts_with('\'')) line.insert(0, "\\&");
    if (!line.empty()) fmt::print("{}\n", line);
    line.clear();
  };
  for (size_t begin = 0; begin < text.size();) {
    size_t const end = std::min(text.find(' ', begin), text.size());
    std::string const word = mdoc_word(text.substr(begin, end - begin), code);
    begin = end + 1;
    if (!line.empty() && line.size() + 1 + word.size() > columns_max) flush();
    if (!line.empty()) line.push_back(' ');
    line += word;
    if (word.ends_with('.')) flush();
  }
  flush();
}

void print_man_config() {
  std::string section;
  for (const ConfigKey& key : config_keys()) {
    if (section_of(key) != section) {
      if (!section.empty()) fmt::print(".El\n");
      section = section_of(key);
      fmt::print(".Ss [{}]\\&\n.Bl -tag -width Ds\n", section);
    }
    fmt::print(".It Sy {}\n", key.name.substr(section.size() + 1));
    print_mdoc(key.help);
    print_mdoc(fmt::format("Default: `{}`; range: {}; a change takes effect {}.", default_of(key),
                           key.range, when_of(key)));
  }
  fmt::print(".El\n");
}

// "state" becomes `state`; outcome="ok|rejected" becomes `outcome`: `ok`, `rejected`.
std::string labels_cell(std::string_view labels) {
  std::string text;
  for (size_t begin = 0; begin < labels.size();) {
    size_t const end = std::min(labels.find(", ", begin), labels.size());
    std::string_view const label = labels.substr(begin, end - begin);
    begin = end + 2;
    if (!text.empty()) text += ", ";
    size_t const equals = label.find('=');
    text += fmt::format("`{}`", label.substr(0, equals));
    if (equals == std::string_view::npos) continue;
    std::string_view const values = label.substr(equals + 2, label.size() - equals - 3);
    std::string_view separator = ": ";
    for (size_t at = 0; at <= values.size();) {
      size_t const bar = std::min(values.find('|', at), values.size());
      text += fmt::format("{}`{}`", separator, values.substr(at, bar - at));
      separator = ", ";
      at = bar + 1;
    }
  }
  return text;
}

void print_metric_row(std::string_view name, std::string_view type, std::string_view labels,
                      std::string_view help) {
  fmt::print("| `{}` | {} | {} | {} |\n", name, type, labels_cell(labels), cell(help));
}

// False if there is no such program.
bool print_metrics(std::string_view program) {
  if (program != "huntd" && program != "hunt-aggregator") return false;
  fmt::print("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
  if (program == "huntd") {
    for (const MetricDescription& metric : describe_metrics())
      print_metric_row(metric.name, metric.type, metric.labels, metric.help);
  } else {
    for (const Metric& metric : aggregator::metric_table)
      print_metric_row(metric.name, metric.type, metric.labels, metric.help);
  }
  return true;
}

void print_problems() {
  fmt::print("| type | status | title | when | what to do |\n| --- | --- | --- | --- | --- |\n");
  for (const ProblemKind& kind : problem_kinds())
    fmt::print("| `{}` | {} | {} | {} | {} |\n", kind.slug, kind.status, cell(kind.title),
               cell(kind.when), cell(kind.then));
}

void print_openapi_problems() {
  fmt::print("enum:\n");
  for (const ProblemKind& kind : problem_kinds())
    if (kind.problem != Problem::outcome_unknown_unkeyed)  // the type of outcome_unknown
      fmt::print("  - urn:huntd:problem:{}\n", kind.slug);
}

int print_reference(const std::vector<std::string_view>& arguments) {
  std::string_view const what = arguments.empty() ? "" : arguments[0];
  bool const one = arguments.size() == 1;
  if (what == "config" && arguments.size() == 2 && print_config_section(arguments[1]))
    return EXIT_SUCCESS;
  if (what == "metrics" && arguments.size() == 2 && print_metrics(arguments[1]))
    return EXIT_SUCCESS;
  if (what == "man-config" && one) return print_man_config(), EXIT_SUCCESS;
  if (what == "problems" && one) return print_problems(), EXIT_SUCCESS;
  if (what == "openapi-problems" && one) return print_openapi_problems(), EXIT_SUCCESS;
  std::fputs(usage, stderr);
  return exit_usage;
}

}  // namespace
}  // namespace huntd

int main(int argc, char** argv) { return huntd::print_reference({argv + 1, argv + argc}); }
