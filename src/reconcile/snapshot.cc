// SPDX-License-Identifier: Apache-2.0
#include "reconcile/snapshot.h"

#include <algorithm>

namespace huntd::reconcile {
namespace {

std::string joined(std::string_view first, std::string_view second) {
  std::string name;
  name.append(first).append(":").append(second);
  return name;
}

// Returns the index of `generation`, and adds it if it is new. The newest are found first.
uint32_t generation_index(std::vector<uint64_t>& generations, uint64_t generation) {
  auto const found = std::find(generations.rbegin(), generations.rend(), generation);
  if (found == generations.rend()) {
    generations.push_back(generation);
    return static_cast<uint32_t>(generations.size() - 1);
  }
  return static_cast<uint32_t>(generations.rend() - found - 1);
}

}  // namespace

uint32_t Snapshots::session_index(std::string_view hunter_id, std::string_view hunt_id) {
  auto [at, is_new] =
      session_indexes_.emplace(joined(hunter_id, hunt_id), static_cast<uint32_t>(sessions.size()));
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

SupplySnapshot& Snapshots::supply(std::string_view hunt_id, std::string_view loot_id) {
  auto const [at, is_new] =
      supply_indexes_.emplace(joined(hunt_id, loot_id), static_cast<uint32_t>(supplies.size()));
  if (is_new) {
    SupplySnapshot& supply = supplies.emplace_back();
    supply.hunt_id = hunt_id;
    supply.loot_id = loot_id;
  }
  return supplies[at->second];
}

std::optional<uint64_t> Snapshots::floor_of(const SessionSnapshot& session) const {
  std::optional<uint64_t> floor;
  if (auto const at = hunt_floors.find(session.hunt_id); at != hunt_floors.end())
    floor = at->second;
  if (auto const at = hunter_floors.find(session.hunter_id); at != hunter_floors.end())
    floor = std::max(floor.value_or(0), at->second);
  return floor;
}

void Snapshots::add_event(const LootEvent& event, bool in_outbox) {
  uint32_t const index = session_index(event.hunter_id, event.hunt_id);
  events.push_back({.event_id = EventId::of(event.event_id),
                    .seq = event.seq,
                    .session = index,
                    .loot = loot_index(event.loot_id),
                    .generation = generation_index(sessions[index].generations, event.generation),
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
