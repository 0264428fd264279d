// SPDX-License-Identifier: Apache-2.0
// One mistake in a script, in words for people who do not write programs.
#pragma once
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace huntd::check {

// At most this many findings are returned for a script, warnings only if there is room for all its
// errors. Each step keeps as many errors, and as many warnings: more are of no use, and the time
// grows with their number.
inline constexpr size_t findings_max = 100;

enum class Severity {
  error,    // the script does not compile, or fails if this place is reached
  warning,  // it may fail, or is probably not what was meant
};

struct Finding {
  size_t offset = 0;  // of the place, in bytes from the beginning of the script
  Severity severity = Severity::error;
  std::string code;     // a fixed word for the kind of mistake, such as "missing-end"
  std::string message;  // what is wrong
  std::string help;     // what to do
  size_t line = 0;      // from 1; set by check_script()
  size_t column = 0;    // from 1, in characters; set by check_script()
};

// Keeps at most findings_max errors and findings_max warnings, so that many warnings do not hide an
// error behind them.
class FindingList {
 public:
  bool full(Severity severity) const { return count(severity) >= findings_max; }
  void add(Finding finding) {
    if (full(finding.severity)) return;
    ++(finding.severity == Severity::error ? errors_ : warnings_);
    all_.push_back(std::move(finding));
  }
  std::vector<Finding> take() { return std::move(all_); }

 private:
  size_t count(Severity severity) const {
    return severity == Severity::error ? errors_ : warnings_;
  }

  std::vector<Finding> all_;
  size_t errors_ = 0;
  size_t warnings_ = 0;
};

}  // namespace huntd::check
