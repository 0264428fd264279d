// SPDX-License-Identifier: Apache-2.0
#include "reconcile/shared_ids.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "reconcile/record.h"

namespace huntd::reconcile {

uint64_t fingerprint_of(std::string_view hunter_id, std::string_view hunt_id,
                        std::string_view loot_id, uint64_t generation, uint64_t seq) {
  thread_local RecordWriter record;
  record.clear();
  record.text(hunter_id).text(hunt_id).text(loot_id).fixed(generation).fixed(seq);
  return hash64(record.bytes());
}

void find_shared_ids(std::vector<IdentifiedEvent>& events, std::vector<EventId>& ids) {
  std::sort(events.begin(), events.end());
  events.erase(std::unique(events.begin(), events.end()), events.end());
  size_t const known = ids.size();
  for (size_t i = 1; i < events.size(); ++i)
    if (events[i].event_id == events[i - 1].event_id &&
        (ids.size() == known || ids.back() != events[i].event_id))
      ids.push_back(events[i].event_id);
}

SharedEvents::SharedEvents(std::vector<EventId> ids) : ids_(std::move(ids)) {
  std::sort(ids_.begin(), ids_.end());
}

bool SharedEvents::wants(const EventId& event_id) const {
  return !ids_.empty() && std::binary_search(ids_.begin(), ids_.end(), event_id);
}

void SharedEvents::report(Findings& findings) {
  std::sort(events_.begin(), events_.end());
  events_.erase(std::unique(events_.begin(), events_.end()), events_.end());
  for (size_t i = 1; i < events_.size(); ++i) {
    const Event& one = events_[i - 1];
    const Event& other = events_[i];
    if (one.event_id != other.event_id || (one.purged && other.purged)) continue;
    findings.add({.kind = "event_id_shared",
                  .hunter_id = one.hunter_id,
                  .hunt_id = one.hunt_id,
                  .detail = fmt::format(
                      "event_id {} has seq {} here and seq {} of hunter {} in hunt {}",
                      one.event_id.text(), one.seq, other.seq, other.hunter_id, other.hunt_id)});
  }
  events_.clear();
}

}  // namespace huntd::reconcile
