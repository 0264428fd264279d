// SPDX-License-Identifier: Apache-2.0
#include "check/report.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/json_text.h"
#include "base/utf8.h"

namespace huntd::check {
namespace {

constexpr size_t line_bytes_max = 200;

std::string_view name_of(Severity severity) {
  return severity == Severity::error ? "error" : "warning";
}

std::string quoted(std::string_view text) {
  std::string json;
  append_json_string(json, text);
  return json;
}

// The line of the finding and the caret below its place; empty if the place is far to the right.
std::string excerpt(std::string_view script, const Finding& finding, bool colour) {
  size_t const newline =
      finding.offset == 0 ? std::string_view::npos : script.rfind('\n', finding.offset - 1);
  size_t const begin = newline == std::string_view::npos ? 0 : newline + 1;
  std::string_view line = script.substr(begin, script.find('\n', begin) - begin);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (finding.offset - begin > line_bytes_max) return {};
  std::string caret;
  for (char const c : line.substr(0, finding.offset - begin))
    if ((c & 0xc0) != 0x80) caret += c == '\t' ? '\t' : ' ';
  size_t cut = std::min(line.size(), line_bytes_max);
  while (cut > 0 && cut < line.size() && (line[cut] & 0xc0) == 0x80) --cut;
  return fmt::format("  {}\n  {}{}^{}\n", printable(line.substr(0, cut)), caret,
                     colour ? "\x1b[32m" : "", colour ? "\x1b[0m" : "");
}

}  // namespace

std::string finding_text(std::string_view file, std::string_view script, const Finding& finding,
                         bool colour) {
  std::string_view const severity = name_of(finding.severity);
  std::string_view const begin = !colour                               ? ""
                                 : finding.severity == Severity::error ? "\x1b[1;31m"
                                                                       : "\x1b[1;33m";
  std::string_view const end = colour ? "\x1b[0m" : "";
  return fmt::format("{}:{}:{}: {}{}:{} {}\n{}help: {}\n", file, finding.line, finding.column,
                     begin, severity, end, printable(finding.message),
                     excerpt(script, finding, colour), printable(finding.help));
}

std::string finding_json(std::string_view file, const Finding& finding) {
  return fmt::format(
      R"({{"file":{},"line":{},"column":{},"severity":"{}","code":"{}","message":{},"help":{}}})",
      quoted(file), finding.line, finding.column, name_of(finding.severity), finding.code,
      quoted(finding.message), quoted(finding.help));
}

std::string count_text(const std::vector<Finding>& findings) {
  auto const errors = static_cast<size_t>(std::ranges::count_if(
      findings, [](const Finding& finding) { return finding.severity == Severity::error; }));
  size_t const warnings = findings.size() - errors;
  return fmt::format("{} error{}, {} warning{}", errors, errors == 1 ? "" : "s", warnings,
                     warnings == 1 ? "" : "s");
}

}  // namespace huntd::check
