// SPDX-License-Identifier: Apache-2.0
// Finds event_ids that belong to two events. Events with one event_id may be of any hunters, so
// they are found in two steps: first by event_id, with a fingerprint of the rest; then the events
// of the few event_ids that were found are named.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "reconcile/report.h"
#include "wire/event_id.h"

namespace huntd::reconcile {

// An event_id, and a hash of what else names the event.
struct IdentifiedEvent {
  EventId event_id;
  uint64_t fingerprint = 0;
  auto operator<=>(const IdentifiedEvent&) const = default;  // NOLINT(modernize-use-nullptr)
};
uint64_t fingerprint_of(std::string_view hunter_id, std::string_view hunt_id,
                        std::string_view loot_id, uint64_t generation, uint64_t seq);

// Sorts `events`, removes duplicates, and appends the event_ids with several fingerprints to `ids`,
// each once.
void find_shared_ids(std::vector<IdentifiedEvent>& events, std::vector<EventId>& ids);

// The events of shared event_ids.
class SharedEvents {
 public:
  struct Event {
    EventId event_id;
    std::string hunter_id;
    std::string hunt_id;
    std::string loot_id;
    uint64_t generation = 0;
    uint64_t seq = 0;
    bool purged = false;
    auto operator<=>(const Event&) const = default;  // NOLINT(modernize-use-nullptr)
  };

  // `ids`: those that find_shared_ids() has found.
  explicit SharedEvents(std::vector<EventId> ids);
  // Keeps `event` if its event_id is shared.
  bool wants(const EventId& event_id) const;
  void add(Event event) { events_.push_back(std::move(event)); }
  // Adds a difference for each two neighbours of one event_id, unless both are of purged seasons.
  void report(Findings& findings);

 private:
  std::vector<EventId> ids_;
  std::vector<Event> events_;
};

}  // namespace huntd::reconcile
