// SPDX-License-Identifier: Apache-2.0
#include "reconcile/held_fields.h"

#include <fmt/format.h>

#include <string>

#include "base/ids.h"
#include "base/read_text.h"
#include "wire/generation.h"
#include "wire/redis_keys.h"

namespace huntd::reconcile {
namespace {

// What std::map needs for a field, beside its text.
constexpr size_t field_bytes = 80;

// Adds a field of `held`; returns false if it is malformed.
bool add_field(std::string_view field, std::string_view value, HeldSnapshot& held) {
  if (field == keys::gen_field) {
    std::optional<HeldGeneration> const present = read_held_generation(value);
    if (present) held.generation = present->generation;
    return present.has_value();
  }
  bool const is_was = field.starts_with(keys::was_prefix);
  if (!field.starts_with(keys::field_mark)) {
    std::optional<int64_t> const count = read_number<int64_t>(value);
    if (count && *count != 0) held.loot[std::string(field)] = *count;
    return count.has_value();
  }
  uint64_t* const into = field == keys::seq_field      ? &held.seq
                         : field == keys::before_field ? &held.before
                         : field == keys::added_field  ? &held.added
                         : field == keys::taken_field  ? &held.taken
                                                       : nullptr;
  if (!is_was && into == nullptr) return true;  // the script's, or of a later huntd
  std::optional<uint64_t> const count = read_number<uint64_t>(value);
  if (!count) return false;
  if (is_was) {
    std::optional<uint64_t> const generation =
        read_generation(field.substr(keys::was_prefix.size()));
    if (generation) held.was[*generation] = *count;
    return generation.has_value();
  }
  *into = *count;
  return true;
}

}  // namespace

std::optional<std::pair<std::string_view, std::string_view>> held_ids(std::string_view key) {
  size_t const hunt_at = key.rfind(':');
  if (hunt_at == std::string_view::npos || hunt_at == 0) return std::nullopt;
  size_t const hunter_at = key.rfind(':', hunt_at - 1);
  if (hunter_at == std::string_view::npos) return std::nullopt;
  std::string_view const hunter_id = key.substr(hunter_at + 1, hunt_at - hunter_at - 1);
  std::string_view const hunt_id = key.substr(hunt_at + 1);
  if (!is_id(hunter_id) || !is_id(hunt_id) || keys::held(hunter_id, hunt_id) != key)
    return std::nullopt;
  return std::pair(hunter_id, hunt_id);
}

void set_held(std::span<const HeldField> fields, SessionSnapshot& session, Snapshots& snapshots) {
  session.held = {};
  session.has_held = !fields.empty();
  for (const HeldField& each : fields) {
    snapshots.bytes += field_bytes + each.field.size();
    if (!add_field(each.field, each.value, session.held))
      snapshots.unreadable.push_back(
          {std::string(keys::held(session.hunter_id, session.hunt_id)),
           fmt::format("field {} is malformed", each.field.substr(0, 64))});
  }
}

}  // namespace huntd::reconcile
