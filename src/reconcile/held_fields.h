// SPDX-License-Identifier: Apache-2.0
// Reads the fields of a Redis hash `held`.
#pragma once
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "reconcile/snapshot.h"

namespace huntd::reconcile {

// Returns hunter_id and hunt_id of "held:{bN}:hunter_id:hunt_id"; nothing for any other Redis key.
std::optional<std::pair<std::string_view, std::string_view>> held_ids(std::string_view key);

struct HeldField {
  std::string_view field;
  std::string_view value;
};

// Replaces `held` of the session. What is malformed is added to snapshots.unreadable.
void set_held(std::span<const HeldField> fields, SessionSnapshot& session, Snapshots& snapshots);

}  // namespace huntd::reconcile
