// SPDX-License-Identifier: Apache-2.0
// One mistake in a script, in words for people who do not write programs.
#pragma once
#include <cstddef>
#include <string>

namespace huntd::check {

// At most this many findings of a kind are kept, and returned for a script: more are of no use, and
// the time grows with their number.
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

}  // namespace huntd::check
