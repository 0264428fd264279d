// SPDX-License-Identifier: Apache-2.0
// Counts failures by script, line and reason in shared memory: one process adds, any number of
// processes read. The table is bounded, because a script may fail at any line: after
// limits::failure_lines_max lines a script's failures count without a line, and when the table is
// full, failures count without a hunt_id.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "metrics/shared_word.h"

namespace huntd {

// Why a run failed; the name is the value of the metric's label and of the log field `reason`.
enum class FailureReason : uint8_t {
  script_error,    // it raised an error, or its result is invalid
  out_of_memory,   // it used more than worker.memory_bytes
  deadline,        // it ran longer than worker.deadline_ms, and was killed
  forbidden_call,  // its process tried a system call that the jail forbids
  broken_frame,    // its process sent a malformed frame
  worker_died,     // its process exited without an outcome for another reason
};
inline constexpr std::array<std::string_view, 6> failure_reason_names = {
    "script_error", "out_of_memory", "deadline", "forbidden_call", "broken_frame", "worker_died"};
static_assert(static_cast<size_t>(FailureReason::worker_died) + 1 == failure_reason_names.size());

struct ScriptFailureRow {
  std::string hunt_id;  // empty: the table was full
  uint32_t line = 0;    // 0: unknown, or above the limit of lines
  FailureReason reason = FailureReason::script_error;
  uint64_t count = 0;
};

// Zeroed memory is an empty table.
class ScriptFailures {
 public:
  // REQUIRES: `hunt_id` is a valid id.
  void add(std::string_view hunt_id, uint32_t line, FailureReason reason);
  // In order of their first failure.
  std::vector<ScriptFailureRow> rows() const;

 private:
  // Written before used_ counts it; then only its count changes.
  struct Row {
    uint64_t hunt_id[limits::id_bytes_max / sizeof(uint64_t)];  // zero bytes after the text
    SharedWord line;
    SharedWord reason;
    SharedWord count;
  };
  Row* find(const Row& wanted);

  SharedWord used_;
  std::array<Row, limits::failure_rows_max> rows_;
};

}  // namespace huntd
