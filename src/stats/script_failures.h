// Which scripts fail, at which line and why, counted in shared memory: one process adds, any number
// read. Bounded, since a script chooses where it fails: past so many lines a script counts without
// its line, and past so many rows without its name.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "stats/shared_word.h"

namespace huntd {

// Why a run ended badly; the name is the metric's label and the log's word.
enum class FailureReason : uint8_t {
  script_error,    // it threw, or returned what is no result
  out_of_memory,   // it needs more than worker.memory_bytes
  deadline,        // it ran longer than worker.deadline_ms, and was killed
  forbidden_call,  // its process tried a system call that the jail forbids
  broken_frame,    // its process sent what a worker does not send
  worker_died,     // its process ended without an outcome in another way
};
inline constexpr std::array<std::string_view, 6> failure_reason_names = {
    "script_error", "out_of_memory", "deadline", "forbidden_call", "broken_frame", "worker_died"};
static_assert(static_cast<size_t>(FailureReason::worker_died) + 1 == failure_reason_names.size());

struct ScriptFailureRow {
  std::string hunt_id;  // empty: of scripts past the bound
  uint32_t line = 0;    // 0: not known, or past the bound
  FailureReason reason = FailureReason::script_error;
  uint64_t count = 0;
};

// Zeroed memory is one that has counted nothing.
class ScriptFailures {
 public:
  // `hunt_id` is an id.
  void add(std::string_view hunt_id, uint32_t line, FailureReason reason);
  // In order of their first failure.
  std::vector<ScriptFailureRow> rows() const;

 private:
  // Written before it is counted in used_, and never changed but for its count.
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
