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
  uint64_t generation = 0;
  uint64_t seq = 0;
  int64_t timestamp_ms = 0;
  std::string_view loot_id;
  std::string_view bundle;
  bool from_supply = false;
  int32_t units = 1;  // below 0: taken
};

// The seqs counted, by generation.
using SeenByGeneration = std::map<uint64_t, SeqSet>;

// The columns of a row that Session::read() reads.
struct SessionColumns {
  std::string_view loot;
  uint64_t seen_upto = 0;
  std::string_view seen_beyond;
  uint64_t generation = 0;
  std::string_view past;  // empty: NULL
  uint64_t forgotten_generation = 0;
  uint64_t added = 0;
  uint64_t taken = 0;
};

struct Session {
  // loot_id -> count, of all generations; not 0. It is below 0 as long as a take is counted and
  // awards before it are not.
  std::map<std::string, int64_t, std::less<>> loot;
  uint64_t generation = 0;  // the greatest one that was counted
  SeqSet seen;              // of `generation`
  SeenByGeneration past;    // of smaller generations
  // The greatest generation whose seqs were dropped, because `past` had no room; 0: none was.
  uint64_t forgotten_generation = 0;
  // Of the events counted: the units that awards gave beyond one each, and those that takes took,
  // with one for each take. So loot_count() is the number of events + added - taken.
  uint64_t added = 0;
  uint64_t taken = 0;

  // `loot` as a JSON object, keys ascending.
  std::string loot_text() const;
  // `past` as a JSON object: the generation as 16 hex digits -> SeqSet::text(). Empty if there are
  // no earlier generations.
  std::string past_text() const;
  // The sum of all counts.
  int64_t loot_count() const;
  // Whether an event of this generation with this seq was counted, as far as the row knows.
  bool contains(uint64_t event_generation, uint64_t seq) const;
  // Whether the seen set of any generation is full. Only then can events wait for the row.
  bool full() const;
  // Reads the columns of a row. Returns an error for values that add_events() never produces.
  static Result<Session> read(const SessionColumns& columns);
};

// Reads the column `past`; an empty text is NULL.
Result<SeenByGeneration> read_past(std::string_view json);

// What add_events() changed in a session.
struct SessionChange {
  uint64_t new_events = 0;  // counted by this call
  uint64_t duplicates = 0;  // counted before
  // Least and greatest timestamp of the new events; 0 if there are none.
  int64_t first_loot_at_ms = 0;
  int64_t last_loot_at_ms = 0;
  std::string_view bundle;      // of the session's newest event if that is new, else empty
  std::vector<size_t> counted;  // indexes of the new events
  std::vector<size_t> waiting;  // indexes of the events for which the seen set had no room
  // Indexes of the events of generations whose seqs were dropped before this call. They may have
  // been counted, and are not counted now.
  std::vector<size_t> of_dropped;
};

// Adds `events` to their session, of any generations, in any order, with duplicates. The newest
// event is the one with the greatest (generation, seq).
//
// The same events give the same session in any order and split over any number of calls, if no call
// leaves an event in `waiting` or `of_dropped`. The caller keeps events that wait and adds them
// again when full() was true.
//
// A session keeps the seqs of at most limits::past_generations_max generations besides the
// greatest one: generation 0 if it has any, and the greatest others. Which it keeps, their seqs,
// and forgotten_generation depend only on the set of events; of a generation that is dropped, the
// events that came before (and those that waited, which are counted when it is dropped) are in
// `loot`, and later ones are in `of_dropped`. No event is counted twice.
SessionChange add_events(Session& session, const std::vector<SessionEvent>& events);

}  // namespace huntd::aggregator
