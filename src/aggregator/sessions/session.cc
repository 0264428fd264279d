// SPDX-License-Identifier: Apache-2.0
#include "aggregator/sessions/session.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <numeric>

#include "base/ids.h"

namespace huntd::aggregator {

std::string Session::loot_text() const {
  std::string text = "{";
  for (const auto& [loot_id, count] : loot) {
    if (text.size() > 1) text.push_back(',');
    fmt::format_to(std::back_inserter(text), "\"{}\":{}", loot_id, count);
  }
  text.push_back('}');
  return text;
}

uint64_t Session::loot_count() const {
  uint64_t total = 0;
  for (const auto& [loot_id, count] : loot) total += count;
  return total;
}

Result<Session> Session::read(std::string_view loot_json, uint64_t seen_upto,
                              std::string_view seen_beyond) {
  Session session;
  Result<SeqSet> seen = SeqSet::read(seen_upto, seen_beyond);
  if (!seen) return seen.error();
  session.seen = *seen;
  thread_local simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(loot_json.data(), loot_json.size()).get(object) != simdjson::SUCCESS)
    return Error{"loot is not a JSON object"};
  for (auto [key, value] : object) {
    uint64_t count = 0;
    if (!is_id(key) || value.get(count) != simdjson::SUCCESS || count == 0)
      return Error{fmt::format("loot \"{}\" is not a whole number from 1", key.substr(0, 64))};
    session.loot.emplace(std::string(key), count);
  }
  if (session.loot_count() != session.seen.count())
    return Error{fmt::format("loot adds up to {}, but {} events were counted", session.loot_count(),
                             session.seen.count())};
  return session;
}

namespace {

// Counts a new event in loot and timestamps.
void count_event(Session& session, SessionChange& change, const SessionEvent& event, size_t at) {
  if (auto held = session.loot.find(event.loot_id); held != session.loot.end())
    held->second += 1;
  else
    session.loot.emplace(event.loot_id, 1);
  bool const is_first = change.new_events == 0;
  change.first_loot_at_ms =
      is_first ? event.timestamp_ms : std::min(change.first_loot_at_ms, event.timestamp_ms);
  change.last_loot_at_ms =
      is_first ? event.timestamp_ms : std::max(change.last_loot_at_ms, event.timestamp_ms);
  change.counted.push_back(at);
  change.new_events += 1;
}

}  // namespace

SessionChange add_events(Session& session, const std::vector<SessionEvent>& events) {
  SessionChange change;
  std::vector<size_t> left(events.size());
  std::iota(left.begin(), left.end(), size_t{0});
  auto const before = [&](size_t a, size_t b) {
    return std::tie(events[a].seq, events[a].event_id) <
           std::tie(events[b].seq, events[b].event_id);
  };
  // They usually arrive in order.
  if (!std::is_sorted(left.begin(), left.end(), before))
    std::sort(left.begin(), left.end(), before);
  uint64_t newest = session.seen.newest();
  // An added event may close a hole and so make room for an event that did not fit. Repeat until
  // none fits.
  for (bool progress = true; progress && !left.empty();) {
    progress = false;
    std::vector<size_t> no_room;
    for (size_t at : left) {
      const SessionEvent& event = events[at];
      switch (session.seen.insert(event.seq)) {
        case SeqSet::Insert::duplicate:
          change.duplicates += 1;
          break;
        case SeqSet::Insert::no_room:
          no_room.push_back(at);
          break;
        case SeqSet::Insert::added:
          progress = true;
          count_event(session, change, event, at);
          if (event.seq > newest) {
            newest = event.seq;
            change.bundle = event.bundle;
          }
          break;
      }
    }
    left = std::move(no_room);
  }
  change.waiting = std::move(left);
  return change;
}

}  // namespace huntd::aggregator
