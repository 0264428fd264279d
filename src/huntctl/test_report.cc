// SPDX-License-Identifier: Apache-2.0
#include "huntctl/test_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "base/format_text.h"
#include "base/utf8.h"
#include "huntctl/output.h"
#include "huntctl/shell_word.h"
#include "huntctl/simulation_text.h"
#include "huntctl/svg_picture.h"

namespace huntd::huntctl {
namespace {

constexpr size_t held_shown_max = 20;

std::string_view name_of(const TestedCase& tested) {
  return tested.name.empty() ? std::string_view("the test script") : tested.name;
}

// Line `number` of a script, without the spaces in front; empty if there is none.
std::string line_of(std::string_view script, size_t number) {
  for (size_t line = 1; !script.empty(); ++line) {
    size_t const end = std::min(script.find('\n'), script.size());
    if (line == number) {
      std::string_view text = script.substr(0, end);
      text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
      return printable(text);
    }
    script.remove_prefix(std::min(end + 1, script.size()));
  }
  return {};
}

std::string place_of(const TestedHunt& hunt, const TestedCase& tested) {
  return tested.line == 0 ? hunt.test_path : fmt::format("{}:{}", hunt.test_path, tested.line);
}

// The command that plays the run again.
std::string again_text(const TestedHunt& hunt, const TestedCase::Run& run) {
  std::string text = fmt::format("huntctl try {} {} --seed {:016x}{:016x} --now {}",
                                 shell_word(hunt.hunt_path), run.request.hunter_id,
                                 run.request.seed[0], run.request.seed[1], run.request.now_ms);
  std::string held = counts_word(run.request.held);
  if (run.request.held.size() > held_shown_max) held = "...";
  if (!held.empty()) text += " --held " + held;
  text += supply_options(run.outcome.supplies_gone, run.outcome.supplies_left);
  if (!run.input_json.empty()) text += " --input " + shell_word(run.input_json);
  return text;
}

// What the run gives (sign 1) or takes (sign -1).
std::string loot_text(const std::vector<Rehearsed::Award>& awards, int32_t sign) {
  std::map<std::string, int64_t> counts;
  for (const Rehearsed::Award& award : awards)
    if (award.units * sign > 0) counts[award.loot_id] += int64_t{award.units} * sign;
  std::string text;
  for (const auto& [loot_id, count] : counts)
    text += (text.empty() ? "" : ", ") + loot_id + (count == 1 ? "" : fmt::format(" x {}", count));
  return text.empty() ? "nothing" : text;
}

std::string run_text(const TestedCase::Run& run) {
  const Rehearsed& outcome = run.outcome;
  std::string text = run_end_text(outcome.end);
  if (!outcome.reason.empty()) text += ": " + printable(outcome.reason);
  if (outcome.end != RunEnd::ok) return text;
  text += "; awards " + loot_text(outcome.awards, 1);
  auto const takes = [](const Rehearsed::Award& award) { return award.units < 0; };
  if (std::any_of(outcome.awards.begin(), outcome.awards.end(), takes))
    text += "; takes " + loot_text(outcome.awards, -1);
  text += "; result " + outcome.result;
  return text;
}

// The lines about a failure, each as a name and a value.
std::vector<std::pair<std::string_view, std::string>> details_of(const TestedHunt& hunt,
                                                                 const TestedCase& tested) {
  std::vector<std::pair<std::string_view, std::string>> details;
  if (!tested.expected.empty()) details.emplace_back("expected", printable(tested.expected));
  if (!tested.came.empty()) details.emplace_back("came", printable(tested.came));
  if (!tested.last_run) return details;
  details.emplace_back("last run", run_text(*tested.last_run));
  std::string_view log = tested.last_run->outcome.log;
  while (!log.empty()) {
    size_t const end = std::min(log.find('\n'), log.size());
    details.emplace_back("its log", printable(log.substr(0, end)));
    log.remove_prefix(std::min(end + 1, log.size()));
  }
  details.emplace_back("again", again_text(hunt, *tested.last_run));
  return details;
}

// PLACE: WHAT, the line, and the details; each line behind `indent`.
std::string failure_text(const TestedHunt& hunt, const TestedCase& tested,
                         std::string_view indent) {
  std::string text =
      fmt::format("{}{}: {}\n", indent, place_of(hunt, tested), printable(tested.what));
  if (std::string const line = line_of(hunt.script, tested.line); !line.empty())
    text += fmt::format("{}    {}\n", indent, line);
  for (const auto& [name, value] : details_of(hunt, tested))
    text += fmt::format("{}{:<9} {}\n", indent, name, value);
  return text;
}

std::string log_text(const TestedCase& tested, std::string_view indent) {
  std::string text;
  std::string_view log = tested.log;
  while (!log.empty()) {
    size_t const end = std::min(log.find('\n'), log.size());
    text += fmt::format("{}test.log  {}\n", indent, printable(log.substr(0, end)));
    log.remove_prefix(std::min(end + 1, log.size()));
  }
  return text;
}

std::string case_text(const TestedHunt& hunt, const TestedCase& tested, bool colour) {
  constexpr std::string_view indent = "        ";
  std::string_view const begin = !colour ? "" : tested.passed ? "\x1b[32m" : "\x1b[1;31m";
  std::string text = fmt::format("  {}{:<4}{}  {}\n", begin, tested.passed ? "ok" : "FAIL",
                                 colour ? "\x1b[0m" : "", printable(name_of(tested)));
  text += log_text(tested, indent);
  if (!tested.passed) text += failure_text(hunt, tested, indent);
  return text;
}

// A block of YAML, whose flow style takes JSON's texts.
std::string tap_details(const TestedHunt& hunt, const TestedCase& tested) {
  std::string text = "  ---\n";
  auto const add = [&text](std::string_view name, const std::string& value) {
    text += fmt::format("  {}: {}\n", name, value);
  };
  add("message", json_string(tested.what));
  add("file", json_string(hunt.test_path));
  if (tested.line > 0) add("line", std::to_string(tested.line));
  if (!tested.expected.empty()) add("expected", json_string(tested.expected));
  if (!tested.came.empty()) add("actual", json_string(tested.came));
  if (tested.last_run) {
    add("last_run", json_string(run_text(*tested.last_run)));
    add("again", json_string(again_text(hunt, *tested.last_run)));
  }
  return text + "  ...\n";
}

// A description: "#" begins a directive, a backslash escapes.
std::string tap_words(std::string_view text) {
  std::string escaped;
  for (char const c : printable(text)) {
    if (c == '#' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string junit_case(const TestedHunt& hunt, const TestedCase& tested) {
  std::string text =
      fmt::format("    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" time=\"{:.6f}\"",
                  xml_text(hunt.hunt_id), xml_text(name_of(tested)), xml_text(hunt.test_path),
                  static_cast<double>(tested.wall_ns) / 1e9);
  if (tested.passed && tested.log.empty()) return text + "/>\n";
  text += ">\n";
  if (!tested.passed)
    text += fmt::format("      <failure message=\"{}\">{}</failure>\n", xml_text(tested.what),
                        xml_text(failure_text(hunt, tested, "")));
  if (!tested.log.empty())
    text += fmt::format("      <system-out>{}</system-out>\n", xml_text(tested.log));
  return text + "    </testcase>\n";
}

size_t failed_of(const TestedHunt& hunt) {
  if (!hunt.error.empty()) return 1;
  return static_cast<size_t>(
      std::ranges::count_if(hunt.cases, [](const TestedCase& one) { return !one.passed; }));
}

std::string case_json(const TestedHunt& hunt, const TestedCase& tested) {
  std::string object = "{}";
  add_member(object, "name", json_string(tested.name));
  add_member(object, "passed", tested.passed ? "true" : "false");
  add_member(object, "runs", std::to_string(tested.runs));
  add_member(object, "wall_us", std::to_string(tested.wall_ns / 1000));
  add_member(object, "log", json_string(tested.log));
  if (tested.passed) return object;
  add_member(object, "message", json_string(tested.what));
  add_member(object, "line", tested.line == 0 ? "null" : std::to_string(tested.line));
  add_member(object, "expected", tested.expected.empty() ? "null" : json_string(tested.expected));
  add_member(object, "came", tested.came.empty() ? "null" : json_string(tested.came));
  if (!tested.last_run) return object;
  add_member(object, "last_run", json_string(run_text(*tested.last_run)));
  add_member(object, "again", json_string(again_text(hunt, *tested.last_run)));
  return object;
}

}  // namespace

size_t TestReport::passed() const {
  size_t count = 0;
  for (const TestedHunt& hunt : hunts) count += hunt.cases.size();
  for (const TestedHunt& hunt : hunts)
    if (hunt.error.empty()) count -= failed_of(hunt);
  return count;
}

size_t TestReport::failed() const {
  size_t count = 0;
  for (const TestedHunt& hunt : hunts) count += failed_of(hunt);
  return count;
}

std::string TestReport::summary() const {
  return fmt::format("{}, {}: {} passed, {} failed", counted(hunts.size(), "hunt"),
                     counted(passed() + failed(), "case"), passed(), failed());
}

std::string test_text(const TestReport& report, bool colour) {
  std::string text;
  for (const TestedHunt& hunt : report.hunts) {
    text += hunt.hunt_id + "\n" + hunt.error;
    for (const TestedCase& tested : hunt.cases) text += case_text(hunt, tested, colour);
  }
  for (const std::string& file : report.untested) text += fmt::format("no test: {}\n", file);
  return text;
}

std::string test_tap(const TestReport& report) {
  std::string text = fmt::format("TAP version 14\n1..{}\n", report.passed() + report.failed());
  size_t number = 0;
  auto const add = [&](bool passed, const std::string& words) {
    text += fmt::format("{}ok {} - {}\n", passed ? "" : "not ", ++number, words);
  };
  for (const TestedHunt& hunt : report.hunts) {
    if (!hunt.error.empty()) {
      add(false, hunt.hunt_id + ": the test can be played");
      text += fmt::format("  ---\n  message: {}\n  ...\n", json_string(hunt.error));
    }
    for (const TestedCase& tested : hunt.cases) {
      add(tested.passed, fmt::format("{}: {}", hunt.hunt_id, tap_words(name_of(tested))));
      if (!tested.passed) text += tap_details(hunt, tested);
    }
  }
  for (const std::string& file : report.untested) text += fmt::format("# no test: {}\n", file);
  return text;
}

std::string test_junit(const TestReport& report) {
  std::string text = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuites name=\"huntctl test\" tests=\"{}\" failures=\"{}\">\n",
      report.passed() + report.failed(), report.failed());
  for (const TestedHunt& hunt : report.hunts) {
    text += fmt::format("  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\">\n",
                        xml_text(hunt.hunt_id), hunt.cases.size() + (hunt.error.empty() ? 0 : 1),
                        failed_of(hunt));
    if (!hunt.error.empty())
      text += fmt::format(
          "    <testcase classname=\"{}\" name=\"the test can be played\" file=\"{}\" time=\"0\">\n"
          "      <failure message=\"the test cannot be played\">{}</failure>\n    </testcase>\n",
          xml_text(hunt.hunt_id), xml_text(hunt.test_path), xml_text(hunt.error));
    for (const TestedCase& tested : hunt.cases) text += junit_case(hunt, tested);
    text += "  </testsuite>\n";
  }
  return text + "</testsuites>\n";
}

std::string test_json(const TestReport& report) {
  std::vector<std::string> hunts;
  for (const TestedHunt& hunt : report.hunts) {
    std::vector<std::string> cases;
    for (const TestedCase& tested : hunt.cases) cases.push_back(case_json(hunt, tested));
    std::string object = "{}";
    add_member(object, "hunt_id", json_string(hunt.hunt_id));
    add_member(object, "test", json_string(hunt.test_path));
    add_member(object, "error", hunt.error.empty() ? "null" : json_string(hunt.error));
    add_member(object, "cases", "[" + join_texts(cases, ",") + "]");
    hunts.push_back(std::move(object));
  }
  std::vector<std::string> untested;
  for (const std::string& file : report.untested) untested.push_back(json_string(file));
  std::string object = "{}";
  add_member(object, "passed", std::to_string(report.passed()));
  add_member(object, "failed", std::to_string(report.failed()));
  add_member(object, "hunts", "[" + join_texts(hunts, ",") + "]");
  add_member(object, "untested", "[" + join_texts(untested, ",") + "]");
  return object;
}

}  // namespace huntd::huntctl
