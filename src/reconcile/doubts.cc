// SPDX-License-Identifier: Apache-2.0
#include "reconcile/doubts.h"

#include <utility>

namespace huntd::reconcile {
namespace {

// What a session takes beside its events: itself, its findings, and what maps need for a loot.
constexpr size_t session_bytes = 2 * sizeof(SessionSnapshot) + 1024;
constexpr size_t loot_bytes = 128;

}  // namespace

size_t Doubts::bytes_of(const Comparison::Doubt& doubt, const Snapshots& from) {
  const SessionSnapshot& session = from.sessions[doubt.session];
  return session_bytes + doubt.events.size() * sizeof(EventSnapshot) +
         loot_bytes * (session.held.loot.size() + session.row.loot.size()) +
         sizeof(SeqRange) * session.row.seen.beyond().size();
}

void Doubts::add(const Snapshots& from, Comparison::Doubt doubt) {
  static_cast<StoreFacts&>(snapshots_) = from;
  bytes_ += bytes_of(doubt, from);
  const SessionSnapshot& session = from.sessions[doubt.session];
  uint32_t const index = snapshots_.session_index(session.hunter_id, session.hunt_id);
  snapshots_.sessions[index] = session;
  if (auto const floor = from.hunter_floors.find(session.hunter_id);
      floor != from.hunter_floors.end())
    snapshots_.hunter_floors[session.hunter_id] = floor->second;
  doubt.session = index;
  for (EventSnapshot& event : doubt.events) {
    event.session = index;
    event.loot = snapshots_.loot_index(from.loot_ids[event.loot], from.loot_units[event.loot]);
  }
  comparison_.add_doubt(std::move(doubt));
}

void Doubts::end() {
  comparison_.end();
  StoreFacts const facts = snapshots_;
  snapshots_ = Snapshots();
  static_cast<StoreFacts&>(snapshots_) = facts;
  bytes_ = 0;
}

}  // namespace huntd::reconcile
