// SPDX-License-Identifier: Apache-2.0
// Reads the columns of a row of hunt_session.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "reconcile/snapshot.h"

namespace huntd::reconcile {

// In text form.
struct RowColumns {
  std::string_view loot = {};
  int64_t loot_count = 0;
  uint64_t seen_upto = 0;
  std::string_view seen_beyond = {};
  uint64_t generation = 0;
  std::string_view past = {};  // empty: NULL
  uint64_t forgotten_generation = 0;
  uint64_t added = 0;
  uint64_t taken = 0;
};

// Sets the session's row. If the columns cannot be read, the row exists, and the reason is added to
// snapshots.unreadable.
void set_row(const RowColumns& columns, SessionSnapshot& session, Snapshots& snapshots);
// Adds an event of hunt_session_waiting, by its JSON, to its session. REQUIRES: read_loot_event()
// can read it.
void add_waiting(std::string_view json, Snapshots& snapshots);

}  // namespace huntd::reconcile
