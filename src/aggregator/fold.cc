#include "aggregator/fold.h"

#include <fmt/format.h>

#include <algorithm>

namespace huntd {
namespace {

// Below this many events a scan finds a seq faster than a table.
constexpr size_t scan_max = 16;

}  // namespace

void Fold::bury(const Record& record, std::string reason) {
  dead_.push_back({record.partition, std::string(record.position), std::string(record.payload),
                   std::move(reason)});
}

void Fold::add(const Record& record) {
  records_ += 1;
  bytes_ += record.payload.size();
  Result<LootEvent> read = read_loot_event(record.payload);
  if (!read) return bury(record, read.error().message);
  LootEvent& event = *read;
  if (event.seq > limits::seq_max)
    return bury(record, fmt::format("field \"seq\" is above {}", limits::seq_max));
  if (event.timestamp_ms < 0 || event.timestamp_ms > limits::timestamp_ms_max)
    return bury(record,
                fmt::format("field \"timestamp\" is not from 0 to {}", limits::timestamp_ms_max));

  Pending& pending = sessions_[event.hunter_id + ":" + event.hunt_id];
  std::vector<LootEvent>& events = pending.session.events;
  if (events.empty()) pending.session.key = {event.hunter_id, event.hunt_id};
  size_t place = events.size();
  if (events.size() < scan_max) {
    for (size_t i = 0; i < events.size(); ++i)
      if (events[i].seq == event.seq) place = i;
  } else {
    if (pending.by_seq.empty())
      for (size_t i = 0; i < events.size(); ++i) pending.by_seq.emplace(events[i].seq, i);
    place = pending.by_seq.emplace(event.seq, place).first->second;
  }
  if (place < events.size()) {
    if (events[place].event_id != event.event_id)
      return bury(record,
                  fmt::format("seq {} of hunter {} in hunt {} belongs to event {} already",
                              event.seq, event.hunter_id, event.hunt_id, events[place].event_id));
    duplicates_ += 1;
    return;
  }
  oldest_ms_ = oldest_ms_ == 0 ? event.timestamp_ms : std::min(oldest_ms_, event.timestamp_ms);
  newest_ms_ = std::max(newest_ms_, event.timestamp_ms);
  events.push_back(std::move(event));
}

void Fold::clear() { *this = Fold(); }

std::vector<const FoldedSession*> Fold::sorted() const {
  std::vector<const FoldedSession*> all;
  all.reserve(sessions_.size());
  for (const auto& [text, pending] : sessions_) all.push_back(&pending.session);
  std::sort(all.begin(), all.end(),
            [](const FoldedSession* a, const FoldedSession* b) { return a->key < b->key; });
  return all;
}

}  // namespace huntd
