// SPDX-License-Identifier: Apache-2.0
// The content of /errors.json (docs/formats/admin-json.md), and the command that repeats an example.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd::huntctl {

// One run that failed.
struct ErrorExample {
  std::string hunter_id;
  std::string request_id;
  std::string bundle;
  int64_t now_ms = 0;
  std::string seed;                      // 32 hex digits
  std::map<std::string, uint64_t> held;  // empty also if the script did not ask
  std::vector<std::string> gone;         // supplies without a unit
  std::map<std::string, uint64_t> left;  // units of the supplies that hunt.left asked for
  std::string input;                     // JSON; empty: none
  std::string state;                     // of hunt.state(), as JSON; empty: nothing
  std::vector<std::string> lacks;        // "input", "state", "held", "left" or "gone": too large
};

struct ErrorEntry {
  std::string hunt;
  uint64_t line = 0;  // 0: unknown
  std::string reason;
  std::string message;
  uint64_t count = 0;
  int64_t first_ms = 0;
  int64_t last_ms = 0;
  std::optional<ErrorExample> example;
  std::string json;  // the entry as huntd sent it
};

struct ErrorsReport {
  std::vector<ErrorEntry> errors;  // the newest first
  uint64_t no_room = 0;            // errors of kinds that found no room
  bool examples = false;           // false: the admin port does not show them
};

// The error says whether a member is missing or has another type.
Result<ErrorsReport> read_errors_report(std::string_view json);

// `huntctl try` with all that the run had. `config_path` is that of -c; empty: none.
std::string repeat_command(const ErrorEntry& entry, const ErrorExample& example,
                           const std::string& config_path);

}  // namespace huntd::huntctl
