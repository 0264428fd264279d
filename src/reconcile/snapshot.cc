// SPDX-License-Identifier: Apache-2.0
#include "reconcile/snapshot.h"

#include <algorithm>
#include <tuple>

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
    // The session, its texts here and in the index, and what std::unordered_map needs.
    bytes += sizeof(SessionSnapshot) + 3 * (hunter_id.size() + hunt_id.size()) + 160;
  }
  return at->second;
}

uint32_t Snapshots::loot_index(std::string_view loot_id, int32_t units) {
  auto [at, is_new] = loot_indexes_.emplace(
      units == 1 ? std::string(loot_id) : joined(loot_id, std::to_string(units)),
      static_cast<uint32_t>(loot_ids.size()));
  if (is_new) {
    loot_ids.emplace_back(loot_id);
    loot_units.push_back(units);
    bytes += 2 * loot_id.size() + 120;
  }
  return at->second;
}

std::optional<uint32_t> Snapshots::find_session(std::string_view hunter_id,
                                                std::string_view hunt_id) const {
  auto const at = session_indexes_.find(joined(hunter_id, hunt_id));
  if (at == session_indexes_.end()) return std::nullopt;
  return at->second;
}

std::optional<uint64_t> Snapshots::floor_of(const SessionSnapshot& session) const {
  std::optional<uint64_t> floor;
  if (auto const at = hunt_floors.find(session.hunt_id); at != hunt_floors.end())
    floor = at->second;
  if (auto const at = hunter_floors.find(session.hunter_id); at != hunter_floors.end())
    floor = std::max(floor.value_or(0), at->second);
  return floor;
}

EventSnapshot Snapshots::make_event(const EventParts& event) {
  uint32_t const index = session_index(event.hunter_id, event.hunt_id);
  return {.event_id = event.event_id,
          .seq = event.seq,
          .session = index,
          .loot = loot_index(event.loot_id, event.units),
          .generation = generation_index(sessions[index].generations, event.generation),
          .in_outbox = event.in_outbox,
          .expired = event.expired};
}

void Snapshots::add_event(const EventParts& event) {
  events.push_back(make_event(event));
  kafka_records += event.in_outbox ? 0 : 1;
}

void Snapshots::add_event(const LootEvent& event, bool in_outbox) {
  add_event({.event_id = EventId::of(event.event_id),
             .hunter_id = event.hunter_id,
             .hunt_id = event.hunt_id,
             .loot_id = event.loot_id,
             .generation = event.generation,
             .seq = event.seq,
             .in_outbox = in_outbox,
             .expired = event.timestamp_ms < expired_before_ms,
             .units = event.units});
}

void Snapshots::drop_duplicates() {
  auto const parts = [](const EventSnapshot& event) {
    return std::tie(event.session, event.generation, event.seq, event.event_id, event.loot,
                    event.in_outbox, event.expired);
  };
  std::sort(events.begin(), events.end(),
            [&](const EventSnapshot& a, const EventSnapshot& b) { return parts(a) < parts(b); });
  events.erase(std::unique(events.begin(), events.end(),
                           [&](const EventSnapshot& a, const EventSnapshot& b) {
                             return parts(a) == parts(b);
                           }),
               events.end());
}

}  // namespace huntd::reconcile
