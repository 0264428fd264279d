// SPDX-License-Identifier: Apache-2.0
#include "reconcile/snapshot.h"

namespace huntd::reconcile {

uint32_t Snapshots::session_index(std::string_view hunter_id, std::string_view hunt_id) {
  std::string name;
  name.append(hunter_id).append(":").append(hunt_id);
  auto [at, is_new] =
      session_indexes_.emplace(std::move(name), static_cast<uint32_t>(sessions.size()));
  if (is_new) {
    SessionSnapshot& session = sessions.emplace_back();
    session.hunter_id = hunter_id;
    session.hunt_id = hunt_id;
  }
  return at->second;
}

uint32_t Snapshots::loot_index(std::string_view loot_id) {
  auto [at, is_new] =
      loot_indexes_.emplace(std::string(loot_id), static_cast<uint32_t>(loot_ids.size()));
  if (is_new) loot_ids.emplace_back(loot_id);
  return at->second;
}

SessionSnapshot& Snapshots::session(std::string_view hunter_id, std::string_view hunt_id) {
  return sessions[session_index(hunter_id, hunt_id)];
}

void Snapshots::add_event(const LootEvent& event, bool in_outbox) {
  events.push_back({.event_id = EventId::of(event.event_id),
                    .seq = event.seq,
                    .session = session_index(event.hunter_id, event.hunt_id),
                    .loot = loot_index(event.loot_id),
                    .in_outbox = in_outbox,
                    .expired = event.timestamp_ms < expired_before_ms});
}

Result<void> Snapshots::add_value(std::string_view value, bool in_outbox) {
  Result<LootEvent> const event = read_loot_event(value);
  if (!event) return event.error();
  if (Result<void> bounds = check_bounds(event->seq, event->timestamp_ms); !bounds) return bounds;
  add_event(*event, in_outbox);
  return {};
}

}  // namespace huntd::reconcile
