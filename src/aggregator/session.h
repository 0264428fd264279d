// One row of hunt_session as a value, and how events go into it. Pure: the exactness of the table
// is decided here and in seq_set.h; Postgres only keeps what comes out.
#pragma once
#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "aggregator/seq_set.h"
#include "base/result.h"

namespace huntd {

// An event_id as a number: 32 hex digits, in the same order.
struct EventId {
  uint64_t high = 0;
  uint64_t low = 0;
  // clang-tidy 14 sees a null pointer in each <=>.
  auto operator<=>(const EventId&) const = default;  // NOLINT(modernize-use-nullptr)

  // CHECKs that it is one: what it is given was read by view_loot_event().
  static EventId read(std::string_view hex);
  std::string text() const;
};

// An event of one session. The texts are the caller's.
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

  // `loot` as JSON, keys ascending.
  std::string loot_text() const;
  // The sum of all counts.
  uint64_t loot_count() const;
  // A row's columns. Refuses what add_events() never writes.
  static Result<Session> read(std::string_view loot_json, uint64_t seen_upto,
                              std::string_view seen_beyond);
};

// What a set of events changed in one session.
struct SessionChange {
  uint64_t fresh = 0;       // events that are now counted
  uint64_t duplicates = 0;  // events that had been counted before
  int64_t first_loot_at_ms =
      0;  // least and greatest timestamp of the fresh ones; where fresh is not 0
  int64_t last_loot_at_ms = 0;
  std::string_view bundle;      // of the newest event, empty where the newest was there before
  std::vector<size_t> counted;  // indexes of the fresh ones in `events`
  std::vector<size_t> waiting;  // indexes of those the seen set had no room for
};

// Puts `events` (of this session, in any order, doubles welcome) into `session`. Whatever the order
// and the cut into calls, the same events give the same session, as long as none is left in
// `waiting`; those belong beside the row, to be given again once it has room.
SessionChange add_events(Session& session, const std::vector<SessionEvent>& events);

}  // namespace huntd
