// SPDX-License-Identifier: Apache-2.0
#include "metrics/script_failures.h"

#include <algorithm>
#include <cstring>

namespace huntd {

// The row of this hunt, line and reason, or a new row; null if there is no room.
ScriptFailures::Row* ScriptFailures::find(const Row& wanted) {
  size_t const used = used_.load();
  size_t lines = 0;
  for (size_t i = 0; i < used; ++i) {
    Row& row = rows_[i];
    if (std::memcmp(row.hunt_id, wanted.hunt_id, sizeof row.hunt_id) != 0) continue;
    if (row.line.load() == wanted.line.load() && row.reason.load() == wanted.reason.load())
      return &row;
    if (row.line.load() != 0) ++lines;
  }
  // The last rows are reserved for failures without a hunt_id.
  bool const named = wanted.hunt_id[0] != 0;
  size_t const room = rows_.size() - (named ? failure_reason_names.size() : 0);
  if (used >= room || (wanted.line.load() != 0 && lines >= limits::failure_lines_max))
    return nullptr;
  rows_[used] = wanted;
  __atomic_thread_fence(__ATOMIC_RELEASE);
  used_.store(used + 1);
  return &rows_[used];
}

void ScriptFailures::add(std::string_view hunt_id, uint32_t line, FailureReason reason) {
  Row wanted{};
  std::memcpy(wanted.hunt_id, hunt_id.data(), std::min(hunt_id.size(), sizeof wanted.hunt_id));
  wanted.line.store(line);
  wanted.reason.store(static_cast<uint64_t>(reason));
  Row* row = find(wanted);
  if (row == nullptr) {
    wanted.line.store(0);
    row = find(wanted);
  }
  if (row == nullptr) {
    std::memset(wanted.hunt_id, 0, sizeof wanted.hunt_id);
    row = find(wanted);
  }
  row->count.add(1);
}

std::vector<ScriptFailureRow> ScriptFailures::rows() const {
  std::vector<ScriptFailureRow> found;
  size_t const used = used_.load();
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  for (size_t i = 0; i < used; ++i) {
    char text[sizeof rows_[i].hunt_id];
    std::memcpy(text, rows_[i].hunt_id, sizeof text);
    found.push_back({std::string(text, strnlen(text, sizeof text)),
                     static_cast<uint32_t>(rows_[i].line.load()),
                     static_cast<FailureReason>(rows_[i].reason.load()), rows_[i].count.load()});
  }
  return found;
}

}  // namespace huntd
