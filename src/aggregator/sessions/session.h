// SPDX-License-Identifier: Apache-2.0
// A row of hunt_session as a value, and the function that adds events to it. Without I/O: this file
// and seq_set.h make the table exact; PostgreSQL only stores the result.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/event_id.h"
#include "wire/seq_set.h"

namespace huntd::aggregator {

// An event of a session. The caller owns the texts.
struct SessionEvent {
  EventId event_id;
  uint64_t seq = 0;
  int64_t timestamp_ms = 0;
  std::string_view loot_id;
  std::string_view bundle;
};

struct Session {
  std::map<std::string, uint64_t, std::less<>> loot;  // loot_id -> count
  SeqSet seen;

  // `loot` as a JSON object, keys ascending.
  std::string loot_text() const;
  // The sum of all counts.
  uint64_t loot_count() const;
  // Reads the columns of a row. Returns an error for values that add_events() never produces.
  static Result<Session> read(std::string_view loot_json, uint64_t seen_upto,
                              std::string_view seen_beyond);
};

// What add_events() changed in a session.
struct SessionChange {
  uint64_t new_events = 0;  // counted by this call
  uint64_t duplicates = 0;  // counted before
  // Least and greatest timestamp of the new events; 0 if there are none.
  int64_t first_loot_at_ms = 0;
  int64_t last_loot_at_ms = 0;
  std::string_view bundle;      // of the session's newest event if that is new, else empty
  std::vector<size_t> counted;  // indexes of the new events
  std::vector<size_t> waiting;  // indexes of the events for which `seen` had no room
};

// Adds `events` to their session, in any order, with duplicates. The same events give the same
// session in any order and split over any number of calls, if no call leaves an event in `waiting`.
// The caller keeps these events and adds them again when the session has room.
SessionChange add_events(Session& session, const std::vector<SessionEvent>& events);

}  // namespace huntd::aggregator
