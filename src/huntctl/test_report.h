// SPDX-License-Identifier: Apache-2.0
// What huntctl test prints: for people, TAP, JUnit and JSON.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "rehearsal/hunt_test.h"

namespace huntd::huntctl {

// One hunt, and what came of its test.
struct TestedHunt {
  std::string hunt_id;
  std::string hunt_path;  // of NAME.lua, as the user named it
  std::string test_path;  // of NAME_test.lua
  std::string script;     // the text of the test
  // Why no case was played, for people: what does not compile, or is too large. Then there are no
  // cases.
  std::string error;
  std::vector<TestedCase> cases;
};

struct TestReport {
  std::vector<TestedHunt> hunts;
  std::vector<std::string> untested;  // hunts of the folders that have no test: their files

  // Of cases; a test that could not be played counts as one that failed.
  size_t passed() const;
  size_t failed() const;
  // "2 hunts, 5 cases: 4 passed, 1 failed".
  std::string summary() const;
};

std::string test_text(const TestReport& report, bool colour);
// TAP version 14 (testanything.org); what a failure is about is in its YAML block.
std::string test_tap(const TestReport& report);
// <testsuites> with a <testsuite> per hunt, as Jenkins and GitLab read it.
std::string test_junit(const TestReport& report);
std::string test_json(const TestReport& report);

}  // namespace huntd::huntctl
