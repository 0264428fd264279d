// SPDX-License-Identifier: Apache-2.0
#include "check/check_script.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "base/read_text.h"
#include "check/parser.h"
#include "check/scopes.h"
#include "check/tokens.h"
#include "check/uses.h"

namespace huntd::check {
namespace {

void append(std::vector<Finding>& to, std::vector<Finding> from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

// The offset of the first character of a line that is not a space.
size_t offset_of_line(std::string_view script, size_t line) {
  size_t at = 0;
  for (; line > 1; --line) {
    size_t const newline = script.find('\n', at);
    if (newline == std::string_view::npos) break;
    at = newline + 1;
  }
  while (at < script.size() && (script[at] == ' ' || script[at] == '\t')) ++at;
  return at;
}

void set_place(Finding& finding, std::string_view script) {
  finding.offset = std::min(finding.offset, script.size());
  std::string_view const before = script.substr(0, finding.offset);
  finding.line = 1 + static_cast<size_t>(std::ranges::count(before, '\n'));
  size_t const newline = before.rfind('\n');
  std::string_view const in_line =
      newline == std::string_view::npos ? before : before.substr(newline + 1);
  // Continuation bytes of UTF-8 do not count.
  finding.column = 1 + static_cast<size_t>(std::ranges::count_if(
                           in_line, [](char c) { return (c & 0xc0) != 0x80; }));
}

Finding no_function(std::string_view script, const Node* chunk) {
  Finding finding;
  finding.code = "no-function";
  finding.message = "this file does not return a function";
  finding.help = "write return function(hunt) before the lines of the hunt, and end behind them";
  if (chunk == nullptr || chunk->parts.empty()) return finding;
  const Node* const last = chunk->parts.back();
  finding.offset = last->begin;
  bool const named = (last->kind == NodeKind::assign || last->kind == NodeKind::local_function) &&
                     last->parts.back()->kind == NodeKind::function &&
                     last->parts[0]->kind == NodeKind::name;
  if (named) finding.help = fmt::format("write as the last line: return {}", last->parts[0]->text);
  finding.offset = std::min(finding.offset, script.size());
  return finding;
}

// The error in the words of LuaJIT, if no finding explains it.
std::optional<Finding> finding_of(const LuaError& error, std::string_view script, const Node* chunk,
                                  const std::vector<Finding>& findings) {
  if (error.message.find("must return a function") != std::string::npos)
    return no_function(script, chunk);
  // The script can be read: LuaJIT's error is of its line, and so may be a finding.
  for (Finding finding : findings) {
    set_place(finding, script);
    if (finding.severity == Severity::error && (chunk == nullptr || finding.line == error.line))
      return std::nullopt;
  }
  return Finding{offset_of_line(script, error.line), Severity::error, "lua",
                 fmt::format("Lua reports: {}", error.message),
                 "look at this line, and at the line before it"};
}

// A finding in a line that breaks the rules of Lua may be a result of that.
void drop_of_same_lines(std::vector<Finding>& findings, std::string_view script,
                        const std::vector<Finding>& syntax) {
  std::erase_if(findings, [&](const Finding& finding) {
    return std::ranges::any_of(syntax, [&](const Finding& other) {
      auto const [low, high] = std::minmax(finding.offset, other.offset);
      return script.substr(low, high - low).find('\n') == std::string_view::npos;
    });
  });
}

// Puts them in the order of the script. If they are too many, the last warnings go first: whether a
// script has an error must not depend on how many warnings it has.
void sort_and_cut(std::vector<Finding>& findings) {
  std::ranges::stable_sort(findings, {}, &Finding::offset);
  if (findings.size() <= findings_max) return;
  std::ranges::stable_sort(findings, {}, &Finding::severity);
  findings.resize(findings_max);
  std::ranges::stable_sort(findings, {}, &Finding::offset);
}

}  // namespace

std::vector<Finding> check_script(std::string_view script, const std::optional<LuaError>& error,
                                  const ScriptFacts& facts) {
  Tokens tokens = split_script(script);
  std::vector<Finding> findings = tokens.odd_characters;
  Parsed parsed;
  if (!tokens.broken) parsed = parse(script, tokens);
  std::vector<Finding> syntax = std::move(tokens.findings);
  append(syntax, std::move(parsed.findings));
  if (!error) syntax.clear();
  if (parsed.chunk != nullptr && tokens.odd_characters.empty()) {
    Scopes const scopes = resolve(parsed.chunk, facts.kind == ScriptKind::hunt);
    append(findings, check_values(script, parsed.chunk, scopes, facts));
    append(findings, check_variables(script, scopes));
    drop_of_same_lines(findings, script, syntax);
  }
  bool const explained = !syntax.empty();
  append(findings, std::move(syntax));
  if (error && !explained)
    if (std::optional<Finding> found = finding_of(*error, script, parsed.chunk, findings))
      findings.push_back(std::move(*found));
  sort_and_cut(findings);
  for (Finding& finding : findings) set_place(finding, script);
  return findings;
}

std::optional<LuaError> lua_error_of(std::string_view report, std::string_view hunt_id) {
  std::string const file = fmt::format("{}.lua:", hunt_id);
  for (size_t at = 0; at < report.size();) {
    size_t const end = std::min(report.find('\n', at), report.size());
    std::string_view const line = report.substr(at, end - at);
    size_t const name = line.find(file);
    at = end + 1;
    if (name == std::string_view::npos || (name > 0 && line[name - 1] != '/')) continue;
    std::string_view message = line.substr(name + file.size());
    size_t const colon = std::min(message.find(':'), message.size());
    std::optional<size_t> const number = read_number<size_t>(message.substr(0, colon));
    if (number) message.remove_prefix(std::min(colon + 1, message.size()));
    while (message.starts_with(' ')) message.remove_prefix(1);
    return LuaError{number.value_or(1), std::string(message)};
  }
  return std::nullopt;
}

bool has_error(const std::vector<Finding>& findings) {
  return std::ranges::any_of(
      findings, [](const Finding& finding) { return finding.severity == Severity::error; });
}

}  // namespace huntd::check
